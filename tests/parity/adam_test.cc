// Adam and AdamW against torch.optim's, on the same gradients.
#include "worker/ddp/adam.h"

#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "tests/parity/peer_values.h"

namespace ferrun::parity {
namespace {

using checkpoint::List;
using checkpoint::Value;

struct Case {
  const char* name;
  ddp::AdamOptions options;
};
const Case kCases[] = {
    {"adam", {}},
    {"adam_decay", {.lr = 0.01, .beta1 = 0.8, .beta2 = 0.99, .eps = 1e-6, .weight_decay = 0.1}},
    {"adamw", {.weight_decay = 0.01, .decoupled_weight_decay = true}},
};

class AdamParity : public PeerValueTest {
 protected:
  void SetUp() override {
    run_peer("adam_peer.py");
    if (!IsSkipped() && !HasFatalFailure()) record_ = load("record.pt");
  }

  std::vector<at::Tensor> at_step(const std::string& key, size_t step) const {
    std::vector<at::Tensor> found;
    for (const Value& item : *(*entry(record_, key).get<List>())[step].get<List>())
      found.push_back(*item.get<at::Tensor>());
    return found;
  }

  // Parameters laid out as the trainer has them.
  static std::vector<at::Tensor> parameters_of(const std::vector<at::Tensor>& values) {
    std::vector<at::Tensor> parameters;
    for (const at::Tensor& value : values) {
      const auto format = value.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
      parameters.push_back(value.clone().contiguous(format).set_requires_grad(true));
    }
    return parameters;
  }

  // The recorded gradients of `step`, in plain layout: a 4-D one lies otherwise in memory than its parameter.
  void set_gradients(std::vector<at::Tensor>& parameters, size_t step) const {
    const auto gradients = at_step("gradients", step);
    for (size_t i = 0; i < parameters.size(); ++i) {
      const bool absent = i + 1 == parameters.size() && step < 2;
      parameters[i].mutable_grad() = absent ? at::Tensor() : gradients[i].clone();
    }
  }

  void expect_equal(const std::vector<at::Tensor>& parameters, const std::string& key, size_t step,
                    double bound) const {
    const auto expected = at_step(key, step);
    for (size_t i = 0; i < parameters.size(); ++i) {
      EXPECT_LE(largest_difference(parameters[i].detach(), expected[i]), bound)
          << key << ", step " << step << ", parameter " << i;
    }
  }

  Value record_;
};

constexpr size_t kSteps = 6;

TEST_F(AdamParity, StepsEqualTheFusedOptimizerBitForBitAndTheDefaultOneNearly) {
  for (const Case& one : kCases) {
    auto parameters = parameters_of(tensors(record_, "initial"));
    ddp::Adam adam(parameters, one.options);
    for (size_t step = 0; step < kSteps; ++step) {
      set_gradients(parameters, step);
      adam.step();
      expect_equal(parameters, std::string(one.name) + "_fused", step, 0);
      expect_equal(parameters, std::string(one.name) + "_default", step, 2e-6);
    }
  }
}

TEST_F(AdamParity, ContinuesFromPythonsStateBitForBit) {
  for (const Case& one : kCases) {
    for (const char* flavour : {"_fused", "_default"}) {
      const Value half_way = load(one.name + std::string(flavour) + "_half_way.pt");
      auto parameters = parameters_of(tensors(half_way, "weights"));
      // Other hyperparameters than the file's, which must win.
      ddp::Adam adam(parameters, {.lr = 7, .beta1 = 0.1, .decoupled_weight_decay = one.options.decoupled_weight_decay});
      const Status loaded = adam.load_state_dict(entry(half_way, "optimizer"));
      ASSERT_TRUE(loaded.ok()) << loaded.error().message;
      for (size_t step = 3; step < kSteps; ++step) {
        set_gradients(parameters, step);
        adam.step();
        expect_equal(parameters, one.name + std::string(flavour), step, std::string(flavour) == "_fused" ? 0 : 2e-6);
      }
    }
  }
}

}  // namespace
}  // namespace ferrun::parity
