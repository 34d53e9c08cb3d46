#include <cstdio>
#include <filesystem>
#include <utility>

#include "worker/data/image_folder.h"
#include "worker/report/class_metrics.h"
#include "worker/train/batch_feed.h"
#include "worker/train/channels_last.h"
#include "worker/train/commands.h"
#include "worker/train/evaluation.h"
#include "worker/train/job.h"
#include "worker/train/loaded_model.h"
#include "worker/train/mixed_precision.h"
#include "worker/train/part_options.h"
#include "worker/train/skipped_pictures.h"
#include "worker/train/source_data.h"

namespace ferrun::train {
namespace {

constexpr uint64_t kDrawingSeed = 42;  // the faces that `worker` draws by default

struct Pictures {
  std::shared_ptr<const data::Dataset> dataset;
  std::string from;  // for a person: "faces/val"
  std::vector<std::string> notes;
};

Result<Pictures> part_of(const data::Split& split, DataPart part, const DataOptions& options) {
  const std::string from = options.directory.empty() ? "drawn faces" : options.directory;
  switch (part) {
    case DataPart::kTrain: return Pictures{split.train, "the training part of " + from, split.notes};
    case DataPart::kValidation:
      return Pictures{split.val, options.directory.empty() ? from : split.validation, split.notes};
    case DataPart::kTest: break;
  }
  if (split.test) return Pictures{split.test, "the test part of " + from, split.notes};
  const std::string reason = split.notes.empty() ? "" : " (" + split.notes.back() + ")";
  return usage_error("--part test: " + from + " has no test part" + reason +
                     "; it takes a test/ beside train/, or a third share of --split");
}

// A folder of class folders as it is; of one with train/, the part that is asked for. Drawn faces and a division of a
// folder are those of the checkpoint's run.
Result<Pictures> open_pictures(const DataOptions& options, std::optional<DataPart> part, uint64_t seed) {
  std::error_code ignored;
  const std::filesystem::path folder(options.directory);
  if (!options.directory.empty() && options.split.empty() &&
      !std::filesystem::is_directory(folder / "train", ignored)) {
    if (part) {
      return usage_error("--part: " + options.directory +
                         " has no train/; a folder of class folders is taken whole, without --part, or divided as "
                         "--split says");
    }
    const auto opened = data::ImageFolder::open(options.directory, decode_options(options));
    if (!opened) return opened.error();
    return Pictures{*opened, options.directory, (*opened)->notes()};
  }
  const Result<data::Split> split = open_data(options, seed);
  if (!split) return split.error();
  return part_of(*split, part.value_or(DataPart::kValidation), options);
}

Status check_classes(const LoadedModel& loaded, const data::Dataset& dataset, const std::string& checkpoint) {
  const auto classes = static_cast<int64_t>(dataset.classes().size());
  if (classes != loaded.outputs) {
    return Error{ErrorKind::kUser, checkpoint + " tells " + std::to_string(loaded.outputs) +
                                       " classes apart, but the data has " + std::to_string(classes)};
  }
  if (!loaded.classes.empty() && loaded.classes != dataset.classes()) {
    return Error{ErrorKind::kUser, checkpoint + " was trained on other classes than the data has"};
  }
  return ok_status();
}

// Data, model, and what is done to the pictures; a failure of any is the rank's.
Status open_all(const EvalOptions& options, int world_size, Pictures& pictures, LoadedModel& loaded,
                std::optional<data::Transform>& transform) {
  Result<LoadedModel> model = load_model(options.checkpoint);
  if (!model) return model.error();
  loaded = std::move(*model);
  DataOptions data = with_saved_data(options.data, loaded.data);
  if (data.directory.empty() && !data.faces_per_class) {
    return usage_error("--data: " + options.checkpoint + " does not say which pictures it is of; name a folder");
  }
  if (!data.exif_orientation) data.exif_orientation = loaded.exif_orientation;
  const Result<Pictures> opened = open_pictures(data, options.part, loaded.seed.value_or(kDrawingSeed));
  if (!opened) {
    return data.directory == options.data.directory ? opened.error()
                                                    : saved_data_error(opened.error(), options.checkpoint);
  }
  pictures = *opened;
  Result<data::Transform> chosen =
      options.data.transforms ? Result<data::Transform>(options.data.transforms->validation)
                              : loaded.transform_for(options.checkpoint, options.data.image_size, options.data.size());
  if (!chosen) return chosen.error();
  transform = std::move(*chosen);
  if (Status checked = check_sizes(transform->size(), options.batch_size, world_size); !checked) return checked;
  return check_classes(loaded, *pictures.dataset, options.checkpoint);
}

}  // namespace

Ending run_eval(const EvalOptions& options, CommandContext& context) {
  std::variant<Job, Ending> opened =
      open_job(context, options.device, options.gpu, options.threads, options.collective_timeout);
  if (Ending* const failure = std::get_if<Ending>(&opened)) {
    return *failure;
  }
  const Job& job = std::get<Job>(opened);
  const int world_size = job.group->world_size();
  Pictures pictures;
  LoadedModel loaded;
  std::optional<data::Transform> transform;
  if (std::optional<Ending> failure = agree(*job.group, open_all(options, world_size, pictures, loaded, transform))) {
    return *failure;
  }
  for (const std::string& note : pictures.notes) {
    if (job.group->rank() == 0) std::fprintf(stderr, "worker: note: %s\n", note.c_str());
  }
  ShardedLoaderOptions loader_options;
  loader_options.batch_size = options.batch_size;
  loader_options.loader.threads = loader_threads(options.data.num_workers, job);
  loader_options.loader.channels_last = options.channels_last;
  loader_options.loader.bad_images = options.data.bad_images;
  loader_options.loader = BatchFeed::for_device(std::move(loader_options.loader), job.device);
  ShardedLoader loader(pictures.dataset, *transform, loader_options, {world_size, job.group->rank()});
  loaded.model->to(job.device.device);
  if (options.channels_last) {
    use_channels_last(*loaded.model);
  }
  if (options.amp == AmpChoice::kOff) loaded.model->fold_batch_norm();
  const Arithmetic arithmetic{job.device, autocast_type(options.amp, job.device), options.channels_last};
  const auto note = precision_note(arithmetic.autocast, !job.device.is_cuda());
  if (note && job.group->rank() == 0) std::fprintf(stderr, "worker: note: %s\n", note->c_str());
  const Result<Evaluation> evaluation = evaluate(loaded.model, loader, arithmetic, *job.group, "evaluation");
  if (!evaluation) return Ending::failure(evaluation.error());
  SkippedPictures(job.group->rank()).show(loader);
  const SampleSums& sums = evaluation->sums;
  if (job.group->rank() == 0) {
    const auto confusion = report::ConfusionMatrix::make(pictures.dataset->classes(), evaluation->confusion);
    const report::ClassMetrics metrics = report::ClassMetrics::of(confusion.value());
    // Its seventh digit is the arithmetic's: a batch of another size, as on other ranks, changes it.
    std::printf("loss %.4f  accuracy %.6f  macro F1 %.6f  (%.0f pictures of %s at %dx%d)\n%s\n", sums.mean_loss(),
                sums.accuracy(), metrics.macro_f1, sums.count, pictures.from.c_str(), transform->size(),
                transform->size(), report::metrics_table(metrics).c_str());
  }
  return Ending::success();
}

}  // namespace ferrun::train
