// EmotionNet, the flagship worker's classifier: names, shapes and numbers of the public Python model, so that
// state_dicts move both ways.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <string>

namespace ferrun::model {

// What the public model fixes. Tests change it to show that the comparison with the Python model notices.
struct EmotionNetOptions {
  int64_t area = 4;  // of the attention at 1/16 of the picture's size
  double batch_norm_eps = 1e-5;
};

class EmotionNetImpl : public torch::nn::Module {
 public:
  // `classes` outputs; weights drawn from torch's default generator (seed it before: torch::manual_seed).
  explicit EmotionNetImpl(int64_t classes, const EmotionNetOptions& options = {});
  // x: [N, 3, H, W] float, normalised; returns logits [N, classes]. See check_image_size. Fastest with x and the
  // weights in channels_last: every layer keeps it.
  torch::Tensor forward(torch::Tensor x);
  int64_t classes() const { return classes_; }
  // Puts every BatchNorm into its convolution: evaluation then skips it. Logits stay the same to rounding. Call it when
  // the weights are final, on their device and in their memory order; training mode and state_dicts do not see it. For
  // full precision: autocast would round weights that are already scaled.
  void fold_batch_norm();

 private:
  struct Layers;
  int64_t classes_;
  std::shared_ptr<Layers> layers_;
};
TORCH_MODULE(EmotionNet);

// Empty when square pictures of `size` can pass through the network, else one line saying why and which sizes do.
std::string check_image_size(int64_t size);

// The fewest square pictures of `size` that the network trains on at once: BatchNorm needs more than one value a
// channel, and the last map of the smallest pictures is one pixel.
int64_t least_training_batch(int64_t size);

}  // namespace ferrun::model
