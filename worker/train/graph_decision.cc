#include "worker/train/graph_decision.h"

namespace ferrun::train {
namespace {

// Why the steps of this run are not all alike, or cannot be left alone; empty where they are.
std::string obstacle(const GraphTerms& terms) {
  if (terms.accumulate > 1) return "--accumulate makes a step of several passes";
  if (terms.read_every <= 1) return "--read-every 1 reads each step's loss before the next one";
  if (terms.ranks > 1 && terms.skips_pictures) {
    return "--bad-images skip may leave one of several ranks a batch of another size";
  }
  if (terms.batch_size / terms.ranks < terms.least_share) return "--batch-size is too small to give every rank a share";
  return {};
}

}  // namespace

GraphDecision decide_graph(GraphChoice choice, const GraphTerms& terms) {
  if (choice == GraphChoice::kOff || !terms.on_gpu) return {};
  const std::string why_not = obstacle(terms);
  if (choice == GraphChoice::kAuto) return {why_not.empty() && terms.ranks == 1};
  if (!why_not.empty()) return {false, "no step is recorded as a CUDA graph: " + why_not};
  return {true};
}

}  // namespace ferrun::train
