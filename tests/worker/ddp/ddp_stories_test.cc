// Random stories of a rank that goes wrong among collectives: every other rank ends, with a line that names it.
// FERRUN_STORIES and FERRUN_SEED choose how many and which.
#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <torch/nn/modules/linear.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <sstream>

#include "tests/worker/ddp/rank_harness.h"
#include "worker/ddp/collectives.h"
#include "worker/ddp/distributed_data_parallel.h"

namespace ferrun::ddp {
namespace {

using ::testing::ContainsRegex;
using testing::RankHarness;

enum class Fault { kKilled, kEnds, kStopped, kSkips, kOtherCall, kOtherType, kMore, kLess };
constexpr const char* kFaultNames[] = {"is killed",         "ends",        "is stopped", "skips one",
                                       "calls another one", "has doubles", "has more",   "has less"};
constexpr int kFaults = 8;
enum Kind {
  kSum,
  kReduction,
  kBroadcasting,
  kGathering,
  kGatheringAtRoot,
  kScattering,
  kReduceScattering,
  kStep,      // of a network, made for it
  kAllToAll,  // the sizes of these two are each rank's own
  kMessage,   // from the root to the next rank
  kKinds,
  kKindsOfAll = kMessage,
};

struct Call {
  int kind = 0;
  int root = 0;
  int64_t elements = 1;
  c10::ScalarType type = at::kFloat;
};

struct Story {
  int world_size = 2;
  std::vector<Call> calls;
  int culprit = 0;
  size_t step = 0;
  Fault fault = Fault::kKilled;

  std::string text() const {
    std::ostringstream words;
    words << "of " << world_size << " ranks rank " << culprit << " " << kFaultNames[int(fault)] << " at call " << step
          << " of " << calls.size() << ":";
    for (const Call& call : calls) words << " " << call.kind << "/" << call.root << "/" << call.elements;
    return words.str();
  }
};

Story story_of(uint32_t seed) {
  std::mt19937 random(seed);
  const auto below = [&random](size_t bound) { return int(random() % bound); };
  Story story;
  story.fault = Fault(seed % kFaults);
  story.world_size = 2 + below(3);
  for (int i = 2 + below(5); i > 0; --i) {
    story.calls.push_back({below(kKinds), below(size_t(story.world_size)), 4 + below(50)});
  }
  story.culprit = below(size_t(story.world_size));
  story.step = size_t(below(story.calls.size()));
  Call& wrong = story.calls[story.step];
  if (story.fault == Fault::kSkips || story.fault == Fault::kOtherCall) wrong.kind = below(kKindsOfAll);
  // Else the culprit might have no part in it.
  if (wrong.kind == kMessage) wrong.root = (story.culprit + below(2) * (story.world_size - 1)) % story.world_size;
  return story;
}

void take_step(ProcessGroup& group, const Call& call) {
  torch::nn::Linear layer(call.elements, 2);
  layer->to(call.type);
  // Not owned: the story's end is the group's.
  const std::shared_ptr<ProcessGroup> of_story(&group, [](ProcessGroup*) {});
  DistributedDataParallel<torch::nn::Linear> net(layer, of_story);
  net.forward(at::full({1, call.elements}, 1.0, call.type)).sum().backward();
}

void perform(ProcessGroup& group, const Call& call) {
  at::Tensor tensor = at::full({call.elements}, 1.0, call.type);
  std::vector<at::Tensor> parts(size_t(group.world_size()), tensor.clone()), others = parts;
  switch (call.kind) {
    case kSum: return all_reduce(group, tensor);
    case kReduction: return reduce(group, tensor, call.root);
    case kBroadcasting: return broadcast(group, tensor, call.root);
    case kGathering: return void(all_gather(group, tensor));
    case kGatheringAtRoot: return void(gather(group, tensor, call.root));
    case kScattering:
      return scatter(group, tensor, group.rank() == call.root ? parts : std::vector<at::Tensor>(), call.root);
    case kReduceScattering: return reduce_scatter(group, tensor, parts);
    case kStep: return take_step(group, call);
    case kAllToAll: return all_to_all(group, others, parts);
    case kMessage:
      const int next = (call.root + 1) % group.world_size();
      if (group.rank() == call.root) send(group, tensor, next, 3);
      if (group.rank() == next) recv(group, tensor, call.root, 3);
  }
}

// The culprit's call; false: it is left out.
bool go_wrong(Fault fault, Call& call) {
  switch (fault) {
    case Fault::kKilled: raise(SIGKILL); break;
    case Fault::kEnds: _exit(3);
    case Fault::kStopped: raise(SIGSTOP); break;
    case Fault::kSkips: return false;
    case Fault::kOtherCall: call.kind = (call.kind + 1) % kKindsOfAll; break;
    case Fault::kOtherType: call.type = at::kDouble; break;
    case Fault::kMore: call.elements += 3; break;
    case Fault::kLess: call.elements -= 3; break;
  }
  return true;
}

std::string live_through(const Story& story, const GroupAddress& address, const RankHarness::Tell& tell) {
  GroupOptions options;
  options.timeout = std::chrono::seconds(10);  // of the connecting as well, on a busy machine
  options.on_abort = [tell](const Failure& failure) {
    tell(failure.message);
    _exit(1);
  };
  const auto made = ProcessGroup::create(address, options);
  if (!made) return made.error().message;
  const std::shared_ptr<ProcessGroup>& group = *made;
  try {
    for (size_t i = 0; i < story.calls.size(); ++i) {
      Call call = story.calls[i];
      if (address.rank != story.culprit || i != story.step || go_wrong(story.fault, call)) perform(*group, call);
    }
    const Status same = group->check_same_collectives();
    return same ? "nothing was noticed" : same.error().message;
  } catch (const std::exception& failure) {
    return group->explain(failure).message;
  }
}

uint32_t number_from(const char* variable, uint32_t otherwise) {
  const char* const text = std::getenv(variable);
  return text != nullptr ? uint32_t(std::strtoul(text, nullptr, 10)) : otherwise;
}

TEST(DdpStories, EveryOtherRankEndsAndNamesTheRankThatWentWrong) {
  const uint32_t first = number_from("FERRUN_SEED", 1), count = number_from("FERRUN_STORIES", 100);
  constexpr uint32_t kTogether = 34;
  for (uint32_t begin = first; begin < first + count; begin += kTogether) {
    std::vector<std::pair<Story, std::unique_ptr<RankHarness>>> running;
    for (uint32_t seed = begin; seed < std::min(begin + kTogether, first + count); ++seed) {
      running.emplace_back(story_of(seed), std::make_unique<RankHarness>());
      const Story& story = running.back().first;
      for (int rank = 0; rank < story.world_size; ++rank) {
        running.back().second->start(rank, story.world_size, [story](const auto& address, const auto& tell) {
          return live_through(story, address, tell);
        });
      }
    }
    for (size_t i = 0; i < running.size(); ++i) {
      const auto& [story, ranks] = running[i];
      for (int rank = 0; rank < story.world_size; ++rank) {
        if (rank == story.culprit) continue;
        EXPECT_THAT(ranks->outcome(rank), ContainsRegex("rank " + std::to_string(story.culprit) + "([ :,]|$)"))
            << "FERRUN_SEED=" << begin + i << ": " << story.text() << "; rank " << rank;
      }
    }
  }
}

}  // namespace
}  // namespace ferrun::ddp
