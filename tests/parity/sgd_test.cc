// SGD against torch.optim.SGD, on the same gradients, and each from the other's state.
#include "worker/ddp/sgd.h"

#include <gtest/gtest.h>

#include "tests/parity/peer_values.h"
#include "worker/checkpoint/writer.h"

namespace ferrun::parity {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

constexpr size_t kSgdSteps = 6, kSgdHalf = 3;

struct SgdCase {
  const char* name;
  ddp::SgdOptions options;
};
const SgdCase kSgdCases[] = {
    {"plain", {.lr = 0.1}},
    {"decay", {.lr = 0.1, .weight_decay = 0.01}},
    {"momentum", {.lr = 0.05, .momentum = 0.9}},
    {"nesterov", {.lr = 0.05, .momentum = 0.9, .weight_decay = 5e-4, .nesterov = true}},
    {"dampening", {.lr = 0.05, .momentum = 0.8, .dampening = 0.25}},
};

class SgdParity : public PeerValueTest {
 protected:
  void SetUp() override {
    run_peer("sgd_peer.py", "write");
    if (!IsSkipped() && !HasFatalFailure()) record_ = load("record.pt");
  }

  std::vector<at::Tensor> recorded(const std::string& key, size_t step) const {
    std::vector<at::Tensor> found;
    for (const Value& item : *(*entry(record_, key).get<List>())[step].get<List>()) {
      found.push_back(*item.get<at::Tensor>());
    }
    return found;
  }

  // Laid out as the trainer has them, with gradients in plain layout.
  static std::vector<at::Tensor> parameters_from(const std::vector<at::Tensor>& values) {
    std::vector<at::Tensor> parameters;
    for (const at::Tensor& value : values) {
      const auto format = value.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
      parameters.push_back(value.clone().contiguous(format).set_requires_grad(true));
    }
    return parameters;
  }

  // Steps from `begin` to `end`, each compared with the record.
  void follow(std::vector<at::Tensor>& parameters, ddp::Optimizer& optimizer, const std::string& key, size_t begin,
              size_t end, double bound) const {
    for (size_t step = begin; step < end; ++step) {
      const auto gradients = recorded("gradients", step), expected = recorded(key, step);
      for (size_t i = 0; i < parameters.size(); ++i) parameters[i].mutable_grad() = gradients[i].clone();
      optimizer.step();
      for (size_t i = 0; i < parameters.size(); ++i) {
        EXPECT_LE(largest_difference(parameters[i].detach(), expected[i]), bound)
            << key << ", step " << step << ", parameter " << i;
      }
    }
  }

  Value record_;
};

// The fused kernel and the loop that Python prefers on the CPU differ in the last bit.
double sgd_bound(const std::string& flavour) { return flavour == "_fused" ? 0 : 1e-5; }

TEST_F(SgdParity, StepsEqualTheFusedOptimizerBitForBitAndTheDefaultOneNearly) {
  for (const SgdCase& one : kSgdCases) {
    for (const std::string flavour : {"_fused", "_default"}) {
      auto parameters = parameters_from(tensors(record_, "initial"));
      ddp::Sgd sgd(parameters, one.options);
      follow(parameters, sgd, one.name + flavour, 0, kSgdSteps, sgd_bound(flavour));
    }
  }
}

TEST_F(SgdParity, GoesOnFromPythonsState) {
  for (const SgdCase& one : kSgdCases) {
    for (const std::string flavour : {"_fused", "_default"}) {
      const Value half_way = load(one.name + flavour + "_half_way.pt");
      auto parameters = parameters_from(tensors(half_way, "weights"));
      ddp::Sgd sgd(parameters, {.lr = 7, .momentum = 0.1});
      const Status loaded = sgd.load_state_dict(entry(half_way, "optimizer"));
      ASSERT_TRUE(loaded.ok()) << loaded.error().message;
      follow(parameters, sgd, one.name + flavour, kSgdHalf, kSgdSteps, sgd_bound(flavour));
    }
  }
}

TEST_F(SgdParity, PythonGoesOnFromOurState) {
  Dict all;
  for (const SgdCase& one : kSgdCases) {
    auto parameters = parameters_from(tensors(record_, "initial"));
    ddp::Sgd sgd(parameters, one.options);
    follow(parameters, sgd, one.name + std::string("_fused"), 0, kSgdHalf, 0);
    List weights;
    for (const at::Tensor& parameter : parameters) weights.emplace_back(parameter.detach());
    all.emplace_back(one.name, Dict{{"weights", weights}, {"optimizer", sgd.state_dict(one.options.lr)}});
  }
  const Status saved = checkpoint::write_atomically(result("ours.pt").string(), all);
  ASSERT_TRUE(saved.ok()) << saved.error().message;
  run_peer("sgd_peer.py", "check");
}

}  // namespace
}  // namespace ferrun::parity
