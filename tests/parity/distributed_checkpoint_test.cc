// Folders of torch.distributed.checkpoint between Python and C++, both ways, for worlds of other sizes.
#include "worker/ddp/distributed_checkpoint.h"

#include <ATen/Context.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linspace.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "tests/parity/peer_values.h"
#include "worker/checkpoint/distributed_folder.h"
#include "worker/checkpoint/module_state.h"
#include "worker/checkpoint/reader.h"
#include "worker/ddp/adam.h"
#include "worker/ddp/named_optimizer_state.h"

namespace ferrun::parity {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

struct Training {
  explicit Training(bool one_group = false)
      : net(torch::nn::Linear(4, 7), torch::nn::BatchNorm1d(7), torch::nn::Linear(7, 2)),
        optimizer(one_group ? std::vector<ddp::AdamGroup>{{net->parameters()}}
                            : std::vector<ddp::AdamGroup>{{of_dimensions(2)}, {of_dimensions(1), {.lr = 0.1}}},
                  {.lr = 0.05}) {}
  std::vector<at::Tensor> of_dimensions(int64_t dimensions) {
    std::vector<at::Tensor> found;
    for (const at::Tensor& parameter : net->parameters()) {
      if (parameter.dim() == dimensions) found.push_back(parameter);
    }
    return found;
  }
  void step() {
    optimizer.zero_grad();
    net->forward(at::linspace(-1, 1, 24).view({6, 4})).square().sum().backward();
    optimizer.step();
  }
  ddp::CheckpointParts parts() { return {.module = &*net, .optimizer = &optimizer}; }

  torch::nn::Sequential net;
  ddp::Adam optimizer;
};

// Ranks as threads, which exchange bytes.
class Meeting {
 public:
  explicit Meeting(int ranks) : slots_(static_cast<size_t>(ranks)) {}
  std::vector<std::string> exchange(int rank, const std::string& bytes) {
    std::unique_lock lock(mutex_);
    met_.wait(lock, [&] { return !leaving_; });
    slots_[static_cast<size_t>(rank)] = bytes;
    if (++inside_ == slots_.size()) leaving_ = true;
    met_.notify_all();
    met_.wait(lock, [&] { return leaving_; });
    std::vector<std::string> all = slots_;
    if (--inside_ == 0) leaving_ = false;
    met_.notify_all();
    return all;
  }

 private:
  std::mutex mutex_;
  std::condition_variable met_;
  std::vector<std::string> slots_;
  size_t inside_ = 0;
  bool leaving_ = false;
};

class DistributedCheckpointParity : public PeerValueTest {};

TEST_F(DistributedCheckpointParity, WeReadWhatPythonsRanksWrote) {
  run_peer("distributed_checkpoint_peer.py", "write");
  if (IsSkipped() || HasFatalFailure()) return;
  for (const std::string name : {"plain", "fsdp", "fsdp1", "fsdp1_flat"}) {
    const bool one_group = name.starts_with("fsdp1");
    Training run(one_group);
    const auto loaded = ddp::load_checkpoint(result(name).string(), run.parts());
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    const Value whole = load(name + ".pt");
    const Value view = checkpoint::module_view(*run.net);
    for (const auto& [key, weight] : *view.get<Dict>()) {
      EXPECT_TRUE(
          entry(whole, "model").find(*key.get<std::string>())->get<at::Tensor>()->equal(*weight.get<at::Tensor>()))
          << name << ": " << *key.get<std::string>();
    }
    EXPECT_EQ(run.optimizer.lrs(), one_group ? std::vector<double>{0.02} : std::vector<double>({0.02, 0.04}));
    const Value ours = ddp::optimizer_state_by_name(run.optimizer.state_dict(run.optimizer.lrs()), *run.net,
                                                    run.optimizer.parameters());
    for (const auto& [key, state] : *entry(entry(whole, "optim"), "state").get<Dict>()) {
      const Value& own = entry(entry(ours, "state"), *key.get<std::string>());
      for (const char* each : {"step", "exp_avg", "exp_avg_sq"}) {
        EXPECT_TRUE(tensor(own, each).equal(tensor(state, each))) << name << ": " << *key.get<std::string>() << each;
      }
    }
    EXPECT_EQ(*entry(loaded->content, "epoch").get<int64_t>(), 3);
  }
  const Value plain = read_file(result("plain"));
  EXPECT_TRUE(tensor(plain, "half").equal(at::full({3, 2}, 1.0, at::kBFloat16)));
  EXPECT_EQ(*entry(plain, "name").get<std::string>(), "x");
  EXPECT_TRUE(entry(plain, "none").is_none());
  const List& list = *entry(plain, "list").get<List>();
  EXPECT_EQ(*list.at(0).get<int64_t>(), 1);
  EXPECT_EQ(*entry(list.at(2), "a").get<double>(), 2.5);
  EXPECT_EQ(entry(plain, "rows").get<List>()->at(0).get<at::Tensor>()->sizes(), at::IntArrayRef({3, 2}));
}

TEST_F(DistributedCheckpointParity, PythonsRanksReadWhatOursWrote) {
  at::manual_seed(1);
  Training run;
  for (int i = 0; i < 3; ++i) run.step();
  const Dict more{
      {"epoch", 9}, {"empty", at::full({0, 3}, 1.0)}, {"list", List{4, at::linspace(1, 2, 2), Dict{{"a", 2.5}}}}};
  for (const int world_size : {1, 2, 4}) {
    Meeting meeting(world_size);
    std::vector<std::string> errors(static_cast<size_t>(world_size));
    std::vector<std::thread> ranks;
    for (int rank = 0; rank < world_size; ++rank) {
      ranks.emplace_back([&, rank] {
        const auto gather = [&](const std::string& bytes) { return meeting.exchange(rank, bytes); };
        const Status saved = ddp::save_distributed_checkpoint(result("ours").string(), run.parts(),
                                                              ddp::CheckpointRanks{rank, world_size, gather}, more);
        if (!saved) errors[static_cast<size_t>(rank)] = saved.error().message;
      });
    }
    for (std::thread& rank : ranks) rank.join();
    for (const std::string& error : errors) ASSERT_EQ(error, "");
    Training back;
    const auto loaded = ddp::load_checkpoint(result("ours").string(), back.parts());
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    run.step();
    back.step();
    EXPECT_TRUE(back.net->parameters()[0].equal(run.net->parameters()[0]));
    if (world_size != 2) continue;
    const auto whole = ddp::load_content(*checkpoint::read(result("ours").string()), {});
    ASSERT_TRUE(ddp::save_checkpoint(result("ours.pt").string(), {}, *whole->content.get<Dict>()).ok());
    run_peer("distributed_checkpoint_peer.py", "check");
    if (IsSkipped() || HasFatalFailure()) return;
  }
}

TEST_F(DistributedCheckpointParity, OneRanksFailureIsToldByAll) {
  Training run;
  Meeting meeting(2);
  std::vector<std::string> errors(2);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    ranks.emplace_back([&, rank] {
      const auto gather = [&](const std::string& bytes) { return meeting.exchange(rank, bytes); };
      const Dict more = rank == 1 ? Dict{{"model.0.bias", 3}} : Dict{};
      const Status saved = ddp::save_distributed_checkpoint(result("failed").string(), run.parts(),
                                                            ddp::CheckpointRanks{rank, 2, gather}, more);
      if (!saved) errors[static_cast<size_t>(rank)] = saved.error().message;
    });
  }
  for (std::thread& rank : ranks) rank.join();
  EXPECT_EQ(errors[0], "rank 1: two of its entries are called model.0.bias");
  EXPECT_EQ(errors[1], errors[0]);
  EXPECT_FALSE(checkpoint::is_distributed(result("failed").string()));
}

}  // namespace
}  // namespace ferrun::parity
