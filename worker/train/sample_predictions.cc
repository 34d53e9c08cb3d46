#include "worker/train/sample_predictions.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/softmax.h>

#include <algorithm>
#include <utility>

#include "worker/report/drawing.h"

namespace ferrun::train {
namespace {

constexpr int kThumbnailSide = 96;  // pixels, at most

}  // namespace

std::vector<report::SamplePrediction> sample_predictions(model::EmotionNet& model, c10::Device device,
                                                         const data::Dataset& pictures,
                                                         const data::Transform& transform, int64_t number) {
  const at::NoGradGuard no_grad;
  const int64_t side = transform.size();
  std::vector<float> pixels(static_cast<size_t>(3 * side * side));
  std::vector<report::SamplePrediction> samples;
  const int64_t wanted = std::min(number, pictures.size());
  for (int64_t i = 0; i < wanted; ++i) {
    const int64_t index = i * pictures.size() / wanted;
    const Result<data::Image> image = pictures.load(index);
    if (!image || !transform.apply(*image, 0, false, pixels.data())) continue;
    const at::Tensor input = at::from_blob(pixels.data(), {1, 3, side, side}, at::kFloat).to(device);
    const at::Tensor shares = at::softmax(model->forward(input), 1).to(at::kCPU, at::kDouble).contiguous();
    const double* const first = shares.const_data_ptr<double>();
    const auto chosen = static_cast<size_t>(std::max_element(first, first + shares.numel()) - first);
    report::SamplePrediction sample;
    sample.file = pictures.name(index);
    sample.truth = pictures.classes()[static_cast<size_t>(pictures.label(index))];
    sample.prediction = pictures.classes()[chosen];
    sample.probability = first[chosen];
    auto thumbnail = report::thumbnail_png(image->pixels, image->width, image->height, kThumbnailSide);
    if (thumbnail) sample.thumbnail = std::move(*thumbnail);
    samples.push_back(std::move(sample));
  }
  return samples;
}

}  // namespace ferrun::train
