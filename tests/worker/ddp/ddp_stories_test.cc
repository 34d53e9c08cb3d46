// Random stories of a rank that goes wrong among collectives: every other rank ends, with a line that names it.
// FERRUN_STORIES and FERRUN_SEED choose how many and which.
#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <sstream>

#include "tests/worker/ddp/rank_harness.h"
#include "worker/ddp/collectives.h"

namespace ferrun::ddp {
namespace {

using testing::RankHarness;

enum class Fault { kKilled, kEnds, kStopped, kSkips, kOtherCall, kOtherType, kOtherShape };
constexpr const char* kFaultNames[] = {"is killed",         "ends",        "is stopped", "skips one",
                                       "calls another one", "has doubles", "has more"};
constexpr int kFaults = 7;
// The last is all_to_all, whose sizes are each rank's own: none that differs from the peers' names a rank.
constexpr int kKinds = 8, kKindsOfOneShape = 7;

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
  const bool of_one_shape =
      story.fault == Fault::kSkips || story.fault == Fault::kOtherCall || story.fault == Fault::kOtherShape;
  const size_t kinds = of_one_shape ? kKindsOfOneShape : kKinds;
  for (int i = 2 + below(5); i > 0; --i) {
    story.calls.push_back({below(kinds), below(size_t(story.world_size)), 1 + below(50)});
  }
  story.culprit = below(size_t(story.world_size));
  story.step = size_t(below(story.calls.size()));
  return story;
}

void perform(ProcessGroup& group, const Call& call) {
  at::Tensor tensor = at::full({call.elements}, 1.0, call.type);
  std::vector<at::Tensor> parts(size_t(group.world_size()), tensor.clone()), others = parts;
  switch (call.kind) {
    case 0: return all_reduce(group, tensor);
    case 1: return reduce(group, tensor, call.root);
    case 2: return broadcast(group, tensor, call.root);
    case 3: return void(all_gather(group, tensor));
    case 4: return void(gather(group, tensor, call.root));
    case 5: return scatter(group, tensor, group.rank() == call.root ? parts : std::vector<at::Tensor>(), call.root);
    case 6: return reduce_scatter(group, tensor, parts);
    case 7: return all_to_all(group, others, parts);
  }
}

// The culprit's call; false: it is left out.
bool go_wrong(Fault fault, Call& call) {
  switch (fault) {
    case Fault::kKilled: raise(SIGKILL); break;
    case Fault::kEnds: _exit(3);
    case Fault::kStopped: raise(SIGSTOP); break;
    case Fault::kSkips: return false;
    case Fault::kOtherCall: call.kind = (call.kind + 1) % kKindsOfOneShape; break;
    case Fault::kOtherType: call.type = at::kDouble; break;
    case Fault::kOtherShape: call.elements += 3; break;
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
  const uint32_t first = number_from("FERRUN_SEED", 1), count = number_from("FERRUN_STORIES", kFaults);
  constexpr uint32_t kTogether = 7;
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
        EXPECT_THAT(ranks->outcome(rank), ::testing::HasSubstr("rank " + std::to_string(story.culprit) + " "))
            << "FERRUN_SEED=" << begin + i << ": " << story.text() << "; rank " << rank;
      }
    }
  }
}

}  // namespace
}  // namespace ferrun::ddp
