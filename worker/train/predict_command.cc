#include <ATen/core/grad_mode.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/softmax.h>

#include <cstdio>
#include <iostream>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "worker/data/loader.h"
#include "worker/train/batch_tensors.h"
#include "worker/train/channels_last.h"
#include "worker/train/commands.h"
#include "worker/train/device.h"
#include "worker/train/evaluation.h"
#include "worker/train/loaded_model.h"
#include "worker/train/picture_list.h"
#include "worker/train/prediction_output.h"

namespace ferrun::train {
namespace {

Result<std::vector<std::string>> class_names(const PredictOptions& options, const LoadedModel& loaded) {
  if (!options.classes.empty()) {
    if (static_cast<int64_t>(options.classes.size()) != loaded.outputs) {
      return Error{ErrorKind::kUsage, "--classes names " + std::to_string(options.classes.size()) + " classes, but " +
                                          options.checkpoint + " has " + std::to_string(loaded.outputs)};
    }
    if (std::set<std::string>(options.classes.begin(), options.classes.end()).size() != options.classes.size()) {
      return usage_error("--classes names a class twice");
    }
    return options.classes;
  }
  if (!loaded.classes.empty()) {
    return loaded.classes;
  }
  std::vector<std::string> numbers;
  for (int64_t i = 0; i < loaded.outputs; ++i) {
    numbers.push_back(std::to_string(i));
  }
  return numbers;
}

// Predicts and prints batch after batch, in the order of the list.
class Predictor {
 public:
  // `threads` of the CPU; on a GPU one that waits for it.
  Predictor(LoadedModel& model, const ComputeDevice& device, int threads, const PictureList& pictures,
            PredictionOutput& output)
      : model_(model),
        device_(device.device),
        threads_(device.is_cuda() ? 1 : threads),
        pictures_(pictures),
        output_(output) {}

  // Failure: the model's answer for a picture is not finite, or a picture failed for a reason that is not its own.
  Status run(data::Loader& loader, const std::string& checkpoint) {
    for (;;) {
      Result<std::optional<data::Batch>> batch = loader.next();
      if (!batch) return batch.error();
      if (!*batch) break;
      const std::vector<int64_t> indices = (*batch)->indices;
      if (indices.empty()) continue;  // all its pictures are broken
      at::Tensor logits =
          forward_in_parts(model_.model, to_tensors(std::move(**batch), true).pixels.to(device_), threads_);
      logits = logits.to(at::kCPU, at::kFloat);
      if (Status printed = print(logits, indices, checkpoint); !printed) return printed;
    }
    tell_broken(pictures_.size());
    return ok_status();
  }

  int64_t broken() const { return broken_; }

 private:
  Status print(const at::Tensor& logits, const std::vector<int64_t>& indices, const std::string& checkpoint) {
    const at::Tensor shares = at::softmax(logits, 1).to(at::kDouble).contiguous();
    const at::Tensor is_finite = at::isfinite(logits).all(1).contiguous();
    const double* row = shares.const_data_ptr<double>();
    for (size_t i = 0; i < indices.size(); ++i, row += shares.size(1)) {
      const std::string name = pictures_.name(indices[i]);
      if (!is_finite.const_data_ptr<bool>()[i]) {
        return Error{ErrorKind::kUser, name + ": the answer of checkpoint " + checkpoint +
                                           " is not finite (NaN or infinite): its training diverged, or it is damaged"};
      }
      tell_broken(indices[i]);
      put(output_.prediction({name, {row, row + shares.size(1)}}));
      next_ = indices[i] + 1;
    }
    return ok_status();
  }

  // Names the broken pictures before `index` of which nothing was said yet.
  void tell_broken(int64_t index) {
    for (; next_ < index; ++next_) {
      const std::optional<Error> failure = pictures_.failure(next_);
      if (!failure) continue;
      ++broken_;
      if (pictures_.size() > 1) std::fprintf(stderr, "worker: %s\n", failure->message.c_str());
    }
  }

  static void put(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

  LoadedModel& model_;
  c10::Device device_;
  int threads_;
  const PictureList& pictures_;
  PredictionOutput& output_;
  int64_t next_ = 0;  // the first picture of which nothing was said
  int64_t broken_ = 0;
};

Ending predict(const PredictOptions& options, LoadedModel& loaded, const ComputeDevice& device, int threads,
               const data::Transform& transform, std::vector<std::string> names) {
  Result<std::vector<std::string>> files = list_pictures(options.images, std::cin);
  if (!files) return Ending::failure(files.error());
  data::DecodeOptions decode;
  decode.max_pixels = options.max_pixels;
  decode.exif_orientation = options.exif_orientation.value_or(loaded.exif_orientation.value_or(false));
  const auto pictures = std::make_shared<const PictureList>(std::move(*files), decode);
  data::LoaderOptions loader_options;
  loader_options.batch_size = std::min(options.batch_size, pictures->size());
  loader_options.threads = pictures->size() > 1 ? options.num_workers : 0;
  loader_options.channels_last = true;
  loader_options.bad_images = data::BadImages::kSkip;
  data::Loader loader(pictures, transform, loader_options);
  std::vector<int64_t> all(static_cast<size_t>(pictures->size()));
  std::iota(all.begin(), all.end(), 0);
  loader.start(std::move(all), 0);

  PredictionOutput output(options.format, std::move(names), options.top_k);
  std::fputs(output.begin().c_str(), stdout);
  Predictor predictor(loaded, device, threads, *pictures, output);
  const Status done = predictor.run(loader, options.checkpoint);
  std::fputs(output.end().c_str(), stdout);
  if (!done) return Ending::failure(done.error());
  if (predictor.broken() == 0) return Ending::success();
  if (pictures->size() == 1) return Ending::failure(*pictures->failure(0));
  return Ending::failure({ErrorKind::kUser, std::to_string(predictor.broken()) + " of " +
                                                std::to_string(pictures->size()) + " pictures could not be read"});
}

}  // namespace

Ending run_predict(const PredictOptions& options, CommandContext& context) {
  const Result<ComputeDevice> device =
      choose_device(options.device, GpuArithmetic{}, context.worker.local_rank, context.worker.local_world_size);
  if (!device) return Ending::failure(device.error());
  Result<LoadedModel> loaded = load_model(options.checkpoint);
  if (!loaded) return Ending::failure(loaded.error());
  Result<std::vector<std::string>> names = class_names(options, *loaded);
  if (!names) return Ending::failure(names.error());
  const Result<data::Transform> transform =
      loaded->transform_for(options.checkpoint, options.image_size, kDefaultImageSize);
  if (!transform) return Ending::failure(transform.error());
  const int threads = set_compute_threads(options.threads, context.worker.local_world_size);
  const at::NoGradGuard no_grad;
  loaded->model->to(device->device);
  use_channels_last(*loaded->model);
  loaded->model->fold_batch_norm();
  return predict(options, *loaded, *device, threads, *transform, std::move(*names));
}

}  // namespace ferrun::train
