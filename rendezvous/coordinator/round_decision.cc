#include "rendezvous/coordinator/round_decision.h"

#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

std::string named(const NodeGroup& group) { return listed(group.names, group.count); }

// "lease" or "leases" and the like.
std::string plural(std::string_view noun, size_t count) { return std::string(noun) + (count == 1 ? "" : "s"); }

RoundDecision wait(std::string why, std::optional<TimePoint> until = std::nullopt) {
  return {false, std::move(why), until};
}

// An older round's workers may still run somewhere: nothing may start.
std::optional<RoundDecision> wait_for_old_workers(const Gathering& nodes, TimePoint now) {
  if (nodes.recovery_end && now < *nodes.recovery_end) {
    return wait(nodes.recovery + " (" + in_words(*nodes.recovery_end - now) + ")", nodes.recovery_end);
  }
  if (nodes.stopping.count > 0) {
    return wait("waiting until " + named(nodes.stopping) + (nodes.stopping.count == 1 ? " has" : " have") +
                " stopped the workers of the last round");
  }
  if (nodes.fenced.count > 0 && now < nodes.fences_end) {
    return wait("waiting until the " + plural("lease", nodes.fenced.count) + " of " + named(nodes.fenced) +
                    (nodes.fenced.count == 1 ? " is" : " are") + " over (" + in_words(nodes.fences_end - now) + ")",
                nodes.fences_end);
  }
  return std::nullopt;
}

// Somebody may come or go within a moment: a round formed now would be disturbed at once.
std::optional<RoundDecision> wait_for_calm(const Gathering& nodes, TimePoint now) {
  if (nodes.settle_end && now < *nodes.settle_end) {
    return wait(nodes.settle + ": waiting a moment for others that leave too", nodes.settle_end);
  }
  if (nodes.returning.count > 0) {
    return wait("waiting a moment for " + named(nodes.returning) + ", whose " +
                plural("connection", nodes.returning.count) + " broke, to come back");
  }
  return std::nullopt;
}

RoundDecision wait_for_more(const Gathering& nodes) {
  const size_t least = static_cast<size_t>(nodes.min_nodes);
  const bool elastic = nodes.min_nodes != nodes.max_nodes;
  std::string why = "waiting for " + std::to_string(least - nodes.ready.count) + " of " + (elastic ? "at least " : "") +
                    counted(least, "node");
  if (!nodes.absent.empty()) why += ": " + listed(nodes.absent, nodes.absent.size());
  if (nodes.ready.count > 0) why += "; here: " + named(nodes.ready);
  return wait(std::move(why));
}

RoundDecision decide_by_nodes(const Gathering& nodes, TimePoint now) {
  if (auto decision = wait_for_old_workers(nodes, now)) return *decision;
  if (auto decision = wait_for_calm(nodes, now)) return *decision;
  const size_t least = static_cast<size_t>(nodes.min_nodes);
  const size_t most = static_cast<size_t>(nodes.max_nodes);
  if (nodes.ready.count < least) return wait_for_more(nodes);
  if (nodes.ready.count >= most) return {true, "all " + counted(most, "node") + " are there", std::nullopt};
  if (nodes.veterans > 0) {
    return {true, "everybody who is left of the last round is there: " + counted(nodes.ready.count, "node"),
            std::nullopt};
  }
  if (nodes.last_call_end && now >= *nodes.last_call_end) {
    return {true, "the last call is over: " + counted(nodes.ready.count, "node"), std::nullopt};
  }
  const size_t more = most - nodes.ready.count;
  const std::string whom = more == 1 ? "1 more node" : "up to " + std::to_string(more) + " more nodes";
  if (!nodes.last_call_end) return wait("last call for " + whom);
  return wait("last call: " + in_words(*nodes.last_call_end - now) + " left for " + whom, nodes.last_call_end);
}

}  // namespace

RoundDecision decide_round(const Gathering& nodes, TimePoint now) {
  RoundDecision decision = decide_by_nodes(nodes, now);
  if (!decision.form || !nodes.held_until || now >= *nodes.held_until) return decision;
  return wait("the next attempt begins in " + in_words(*nodes.held_until - now) + " (--restart-delay)",
              nodes.held_until);
}

}  // namespace ferrun
