#include <cstdio>
#include <filesystem>

#include "worker/data/image_folder.h"
#include "worker/report/class_metrics.h"
#include "worker/train/channels_last.h"
#include "worker/train/commands.h"
#include "worker/train/evaluation.h"
#include "worker/train/job.h"
#include "worker/train/loaded_model.h"
#include "worker/train/mixed_precision.h"
#include "worker/train/source_data.h"

namespace ferrun::train {
namespace {

constexpr uint64_t kDrawingSeed = 42;  // the faces that `worker` draws by default

using Pictures = std::shared_ptr<const data::Dataset>;

// A folder of class folders as it is; of one with train/, what validates. Drawn faces and a division of a folder are
// those of the checkpoint's run.
Result<Pictures> open_pictures(const DataOptions& options, uint64_t seed) {
  std::error_code ignored;
  const std::filesystem::path folder(options.directory);
  if (!options.directory.empty() && options.split.empty() &&
      !std::filesystem::is_directory(folder / "train", ignored)) {
    const auto opened = data::ImageFolder::open(options.directory, decode_options(options));
    return opened ? Result<Pictures>(*opened) : Result<Pictures>(opened.error());
  }
  const Result<data::Split> split = open_data(options, seed);
  return split ? Result<Pictures>(split->val) : Result<Pictures>(split.error());
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

// Opens data and model; a failure of either is the rank's.
Status open_both(const EvalOptions& options, int world_size, Pictures& pictures, LoadedModel& loaded) {
  Result<LoadedModel> model = load_model(options.checkpoint);
  if (!model) return model.error();
  loaded = std::move(*model);
  DataOptions data = options.data;
  if (!data.exif_orientation) data.exif_orientation = loaded.exif_orientation;
  const Result<Pictures> opened = open_pictures(data, loaded.seed.value_or(kDrawingSeed));
  if (!opened) return opened.error();
  pictures = *opened;
  if (Status checked = check_sizes(options.data.image_size.value_or(loaded.image_size.value_or(options.data.size())),
                                   options.batch_size, world_size);
      !checked) {
    return checked;
  }
  return check_classes(loaded, *pictures, options.checkpoint);
}

}  // namespace

Ending run_eval(const EvalOptions& options, CommandContext& context) {
  std::variant<Job, Ending> opened = open_job(context, options.device, options.threads, options.collective_timeout);
  if (Ending* const failure = std::get_if<Ending>(&opened)) {
    return *failure;
  }
  const Job& job = std::get<Job>(opened);
  const int world_size = job.group->world_size();
  Pictures pictures;
  LoadedModel loaded;
  if (std::optional<Ending> failure = agree(*job.group, open_both(options, world_size, pictures, loaded))) {
    return *failure;
  }
  const int size = options.data.image_size.value_or(loaded.image_size.value_or(options.data.size()));
  ShardedLoaderOptions loader_options;
  loader_options.batch_size = options.batch_size;
  loader_options.loader.threads = options.data.num_workers;
  loader_options.loader.channels_last = options.channels_last;
  loader_options.loader.bad_images = options.data.bad_images;
  const data::Transform transform =
      options.data.transforms ? options.data.transforms->validation : loaded.transform_for(size);
  ShardedLoader loader(pictures, transform, loader_options, {world_size, job.group->rank()});
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
  const SampleSums& sums = evaluation->sums;
  if (job.group->rank() == 0) {
    const auto confusion = report::ConfusionMatrix::make(pictures->classes(), evaluation->confusion);
    const report::ClassMetrics metrics = report::ClassMetrics::of(confusion.value());
    std::printf("loss %.6f  accuracy %.6f  macro F1 %.6f  (%.0f pictures at %dx%d)\n%s\n", sums.mean_loss(),
                sums.accuracy(), metrics.macro_f1, sums.count, size, size, report::metrics_table(metrics).c_str());
  }
  return Ending::success();
}

}  // namespace ferrun::train
