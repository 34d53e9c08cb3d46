#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/softmax.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "worker/data/image_file.h"
#include "worker/data/transforms.h"
#include "worker/train/commands.h"
#include "worker/train/device.h"
#include "worker/train/loaded_model.h"

namespace ferrun::train {
namespace {

struct Prediction {
  std::string file;
  std::vector<double> probabilities;
};

Result<std::vector<std::string>> class_names(const PredictOptions& options, const LoadedModel& loaded) {
  if (!options.classes.empty()) {
    if (static_cast<int64_t>(options.classes.size()) != loaded.outputs) {
      return Error{ErrorKind::kUsage, "--classes names " + std::to_string(options.classes.size()) + " classes, but " +
                                          options.checkpoint + " has " + std::to_string(loaded.outputs)};
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

Result<std::vector<double>> probabilities_of(model::EmotionNet& model, const data::Image& image,
                                             const data::Transform& transform, const c10::Device& device) {
  const int size = transform.size();
  std::vector<float> pixels(size_t{3} * static_cast<size_t>(size) * static_cast<size_t>(size));
  if (Status applied = transform.apply(image, 0, false, pixels.data()); !applied) return applied.error();
  const at::Tensor input = at::from_blob(pixels.data(), {1, 3, size, size}, at::kFloat).to(device);
  const at::Tensor shares = at::softmax(model->forward(input), 1).to(at::kCPU, at::kDouble).contiguous();
  const double* const first = shares.const_data_ptr<double>();
  return std::vector<double>(first, first + shares.numel());
}

void print_text(const std::vector<Prediction>& predictions, const std::vector<std::string>& names) {
  for (const Prediction& prediction : predictions) {
    std::printf("%s", prediction.file.c_str());
    for (size_t i = 0; i < names.size(); ++i) {
      std::printf("  %s %.4f", names[i].c_str(), prediction.probabilities[i]);
    }
    std::printf("\n");
  }
}

void print_json(const std::vector<Prediction>& predictions, const std::vector<std::string>& names) {
  nlohmann::ordered_json array = nlohmann::ordered_json::array();
  for (const Prediction& prediction : predictions) {
    nlohmann::ordered_json shares = nlohmann::ordered_json::object();
    for (size_t i = 0; i < names.size(); ++i) {
      shares[names[i]] = prediction.probabilities[i];
    }
    array.push_back({{"file", prediction.file}, {"probabilities", std::move(shares)}});
  }
  // File names need not be UTF-8, JSON must be.
  std::printf("%s\n", array.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

}  // namespace

Ending run_predict(const PredictOptions& options, CommandContext& context) {
  const Result<ComputeDevice> device = choose_device(options.device, context.worker.local_rank);
  if (!device) return Ending::failure(device.error());
  Result<LoadedModel> loaded = load_model(options.checkpoint);
  if (!loaded) return Ending::failure(loaded.error());
  const Result<std::vector<std::string>> names = class_names(options, *loaded);
  if (!names) return Ending::failure(names.error());
  const int size = options.image_size.value_or(loaded->image_size.value_or(kDefaultImageSize));
  if (const std::string bad = model::check_image_size(size); !bad.empty()) {
    return Ending::failure({ErrorKind::kUsage, "--image-size " + bad});
  }
  loaded->model->to(device->device);
  const data::Transform transform = data::Transform::validation(size);
  const at::NoGradGuard no_grad;
  std::vector<Prediction> predictions;
  data::Image image;
  for (const std::string& file : options.images) {
    if (Status read = data::read_image(file, image); !read) return Ending::failure(read.error());
    Result<std::vector<double>> shares = probabilities_of(loaded->model, image, transform, device->device);
    if (!shares) return Ending::failure({shares.error().kind, file + ": " + shares.error().message});
    predictions.push_back({file, std::move(*shares)});
  }
  options.json ? print_json(predictions, *names) : print_text(predictions, *names);
  return Ending::success();
}

}  // namespace ferrun::train
