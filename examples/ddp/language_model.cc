// A small transformer that learns to continue a text, byte by byte; each rank reads passages of its own.
//
//   ferrun --nproc-per-node=2 language_model some.txt
#include <ATen/ops/arange.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ferrun/ddp/data.h>
#include <ferrun/ddp/distributed_data_parallel.h>
#include <ferrun/ddp/optim.h>
#include <ferrun/ddp/process_group.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/transformercoder.h>
#include <torch/nn/modules/transformerlayer.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <limits>

namespace ddp = ferrun::ddp;
namespace nn = torch::nn;

constexpr int64_t kContext = 32, kStride = 16, kWidth = 32, kBytes = 256;

struct LanguageModelImpl : nn::Module {
  LanguageModelImpl() {
    bytes = register_module("bytes", nn::Embedding(kBytes, kWidth));
    places = register_module("places", nn::Embedding(kContext, kWidth));
    const auto layer = nn::TransformerEncoderLayerOptions(kWidth, 2).dim_feedforward(4 * kWidth).dropout(0);
    blocks = register_module("blocks", nn::TransformerEncoder(nn::TransformerEncoderLayer(layer), 2));
    head = register_module("head", nn::Linear(kWidth, kBytes));
    // No place sees what follows it.
    mask = register_buffer("mask", at::full({kContext, kContext}, -std::numeric_limits<double>::infinity()).triu(1));
  }
  // [batch, context] bytes → [batch, context, 256] scores of the byte that follows each.
  at::Tensor forward(const at::Tensor& text) {
    const at::Tensor embedded = bytes(text) + places(at::arange(kContext));
    return head(blocks(embedded.transpose(0, 1), mask).transpose(0, 1));
  }
  nn::Embedding bytes{nullptr}, places{nullptr};
  nn::TransformerEncoder blocks{nullptr};
  nn::Linear head{nullptr};
  at::Tensor mask;
};
TORCH_MODULE(LanguageModel);

// Passages of the text, each with the byte behind it.
struct Passages {
  at::Tensor text;
  int64_t size() const { return (text.size(0) - kContext - 1) / kStride + 1; }
  at::Tensor get(int64_t index) const { return text.slice(0, index * kStride, index * kStride + kContext + 1); }
};

int main(int argc, char** argv) {
  std::ifstream file(argc > 1 ? argv[1] : "", std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto size = static_cast<int64_t>(text.size());
  if (size <= kContext + 1) {
    std::fprintf(stderr, "usage: language_model TEXT (a file of more than %ld bytes)\n", kContext + 1);
    return 2;
  }
  const at::Tensor all = at::from_blob(text.data(), {size}, at::kByte).to(at::kLong);
  return ddp::run([&](const std::shared_ptr<ddp::ProcessGroup>& group) {
    at::manual_seed(0);
    ddp::DdpOptions options;
    options.broadcast_buffers = false;  // the mask never changes
    ddp::DistributedDataParallel<LanguageModel> net(LanguageModel(), group, options);
    const std::vector<at::Tensor> parameters = net.module()->parameters();
    ddp::Adam optimizer(parameters, {.lr = 3e-3, .decoupled_weight_decay = true});
    const Passages passages{all};
    auto sampler = std::make_shared<ddp::DistributedSampler>(passages.size(), ddp::shard_of(*group));
    ddp::DataLoader loader(passages, sampler, {.batch_size = 8, .num_workers = 1});
    double first = 0, last = 0;
    for (const at::Tensor& batch : loader) {
      net.zero_grad();
      const at::Tensor scores = net.forward(batch.slice(1, 0, kContext));
      const at::Tensor loss =
          nn::functional::cross_entropy(scores.reshape({-1, kBytes}), batch.slice(1, 1).reshape(-1));
      loss.backward();
      ddp::clip_grad_norm(parameters, 1.0);
      optimizer.step();
      (first == 0 ? first : last) = loss.item<double>();
    }
    double weights = 0;
    for (const at::Tensor& parameter : parameters) weights += parameter.sum().item<double>();
    std::printf("rank %d of %d: %.2f bits a byte at first, then %.2f: loss %s, weights %.6f\n", group->rank(),
                group->world_size(), first / std::log(2.0), last / std::log(2.0),
                last < first * 0.75 ? "fell" : "did not fall", weights);
  });
}
