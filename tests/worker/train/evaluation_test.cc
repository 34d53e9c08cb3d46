#include "worker/train/evaluation.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

namespace ferrun::train {
namespace {

TEST(ForwardInParts, GivesTheLogitsOfOnePass) {
  const at::NoGradGuard no_grad;
  at::manual_seed(3);
  model::EmotionNet model(4);
  model->eval();
  const at::Tensor pixels = at::randn({5, 3, 32, 32}).contiguous(at::MemoryFormat::ChannelsLast);
  at::set_num_threads(1);
  const at::Tensor whole = model->forward(pixels);
  // Equal parts, parts of different sizes, fewer pictures than threads.
  for (const int threads : {1, 2, 4, 5, 8}) {
    at::set_num_threads(threads);
    const at::Tensor logits = forward_in_parts(model, pixels, threads);
    EXPECT_EQ(logits.sizes(), whole.sizes());
    EXPECT_LT(logits.sub(whole).abs().max().item<double>(), 1e-5) << threads << " threads";
    EXPECT_FALSE(logits.requires_grad());
    EXPECT_EQ(at::get_num_threads(), threads);
  }
  at::set_num_threads(1);
}

}  // namespace
}  // namespace ferrun::train
