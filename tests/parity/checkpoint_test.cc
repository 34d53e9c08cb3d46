// Checkpoints between Python and C++, both ways.
#include <ATen/Context.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "tests/parity/model_comparison.h"
#include "tests/parity/peer_values.h"
#include "worker/checkpoint/module_state.h"
#include "worker/checkpoint/reader.h"
#include "worker/checkpoint/writer.h"
#include "worker/ddp/adam.h"
#include "worker/ddp/grad_scaler.h"
#include "worker/ddp/step_lr.h"

namespace ferrun::parity {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Tuple;
using checkpoint::Value;

class CheckpointParity : public PeerValueTest {
 protected:
  std::string error_of(const std::string& name) const {
    auto value = checkpoint::read(result(name).string());
    return value.ok() ? "" : value.error().message;
  }
  void save(const std::string& name, const Value& value) const {
    const Status saved = checkpoint::write_atomically(result(name).string(), value);
    EXPECT_TRUE(saved.ok()) << saved.error().message;
  }
};

TEST_F(CheckpointParity, WeReadWhatPythonSaves) {
  run_peer("checkpoint_peer.py", "write");
  if (IsSkipped() || HasFatalFailure()) return;
  const Value zoo = load("zoo.pt");
  ASSERT_EQ(entry(zoo, "types").get<Dict>()->size(), 14u);
  for (const auto& [name, value] : *entry(zoo, "types").get<Dict>()) {
    const at::Tensor* one = value.get<at::Tensor>();
    ASSERT_NE(one, nullptr) << *name.get<std::string>();
    EXPECT_EQ(one->sizes().vec(), (std::vector<int64_t>{3, 4})) << *name.get<std::string>();
  }
  EXPECT_EQ(tensor(entry(zoo, "types"), "bfloat16").scalar_type(), at::kBFloat16);
  EXPECT_EQ(tensor(entry(zoo, "types"), "uint16").scalar_type(), at::kUInt16);
  for (const auto& [name, plain] : *entry(zoo, "plain").get<Dict>()) {
    EXPECT_TRUE(tensor(entry(zoo, "odd"), *name.get<std::string>()).equal(*plain.get<at::Tensor>()))
        << *name.get<std::string>();
  }
  EXPECT_TRUE(tensor(entry(zoo, "odd"), "channels_last").is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_EQ(tensor(entry(zoo, "odd"), "view").storage().data(), tensor(zoo, "base").storage().data());
  EXPECT_EQ(*entry(zoo, "seed").get<int64_t>(), (int64_t{1} << 40) + 7);
  EXPECT_EQ(*entry(zoo, "negative").get<int64_t>(), -(int64_t{1} << 31) - 1);
  EXPECT_EQ(entry(zoo, "size").get<Tuple>()->items.size(), 2u);
  EXPECT_EQ(entry(zoo, "many").get<Dict>()->size(), 3000u);
  const List& numbers = *entry(zoo, "numbers").get<List>();
  EXPECT_EQ(*numbers[1].get<double>(), 2.5);
  EXPECT_TRUE(*numbers[2].get<bool>());
  EXPECT_TRUE(numbers[3].is_none());
  EXPECT_EQ(*entry(numbers[6], "nested").get<Dict>()->at(0).first.get<int64_t>(), 3);
}

TEST_F(CheckpointParity, WhatWeCannotReadIsToldInOneLine) {
  run_peer("checkpoint_peer.py", "write");
  if (IsSkipped() || HasFatalFailure()) return;
  EXPECT_NE(error_of("protocol4.pt").find("protocol 4"), std::string::npos) << error_of("protocol4.pt");
  EXPECT_NE(error_of("script.pt").find("TorchScript"), std::string::npos) << error_of("script.pt");
  // Objects of other classes do not keep the rest from being read.
  const Value unknown = load("unknown.pt");
  EXPECT_EQ(*entry(unknown, "epoch").get<int64_t>(), 3);
  EXPECT_EQ(entry(unknown, "options").get<checkpoint::Opaque>()->qualified_name, "argparse.Namespace");
  EXPECT_EQ(*entry(entry(unknown, "counter"), "l").get<int64_t>(), 2);
}

TEST_F(CheckpointParity, WeTakeUpPythonsTraining) {
  run_peer("checkpoint_peer.py", "write");
  if (IsSkipped() || HasFatalFailure()) return;
  const Value file = load("training.pt");
  auto model = model_with(entry(file, "model_state_dict"));
  auto wrapped = model_with(entry(file, "wrapped"));
  for (size_t i = 0; i < model->parameters().size(); ++i) {
    EXPECT_TRUE(model->parameters()[i].equal(wrapped->parameters()[i]));
  }
  ddp::Adam adam(model->parameters(), {.decoupled_weight_decay = true});
  const Status loaded = adam.load_state_dict(entry(file, "optimizer_state_dict"));
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  ddp::StepLr schedule(1, 7, 0.5);
  ASSERT_TRUE(schedule.load_state_dict(entry(file, "scheduler")).ok());
  EXPECT_EQ(schedule.lr(), 0.01 * 0.1);
  EXPECT_EQ(adam.lr(), schedule.lr());
  EXPECT_EQ(schedule.last_epoch(), 3);
  const Status refused = ddp::Adam(model->parameters(), {}).load_state_dict(entry(file, "optimizer_state_dict"));
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("AdamW"), std::string::npos) << refused.error().message;
}

TEST_F(CheckpointParity, PythonTakesUpOurTraining) {
  at::manual_seed(3);
  model::EmotionNet model(7);
  // As the trainer has them; the file must not show it.
  for (const at::Tensor& parameter : model->parameters()) {
    if (parameter.dim() == 4)
      at::Tensor(parameter).set_data(parameter.detach().contiguous(at::MemoryFormat::ChannelsLast));
  }
  ddp::Adam adam(model->parameters(), {.lr = 0.01});
  ddp::StepLr schedule(0.01, 1, 0.5);
  const auto step = [&] {
    adam.zero_grad();
    at::cross_entropy_loss(model->forward(at::randn({4, 3, 32, 32})), at::randint(7, {4}, at::kLong)).backward();
    List gradients;
    for (const at::Tensor& parameter : model->parameters()) gradients.emplace_back(parameter.grad().clone());
    adam.step();
    return Value(gradients);
  };
  for (int i = 0; i < 2; ++i) {
    step();
    schedule.step(0);
    adam.set_lr(schedule.lr());
  }
  save("ours.pt", Dict{{"epoch", 5},
                       {"seed", (int64_t{1} << 40) + 7},
                       {"history", List{Tuple{{0, 0.5}}, Tuple{{1, 0.25}}}},
                       {"model_state_dict", checkpoint::module_state(*model)},
                       {"optimizer_state_dict", adam.state_dict(schedule.initial_lr())},
                       {"scheduler", schedule.state_dict()},
                       {"scaler", ddp::GradScaler(at::kCPU).state_dict()}});
  model->eval();  // a training pass would move the buffers, and Python repeats only the step
  save("gradients.pt", step());
  save("after.pt", Dict{{"model_state_dict", checkpoint::module_state(*model)},
                        {"optimizer_state_dict", adam.state_dict(schedule.initial_lr())}});
  run_peer("checkpoint_peer.py", "check");
}

}  // namespace
}  // namespace ferrun::parity
