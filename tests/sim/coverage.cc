#include "tests/sim/coverage.h"

#include <vector>

namespace ferrun::sim {
namespace {

// In the order of the variants; the message takes its event's place and is followed by the other kinds.
const std::vector<const char*> kCoordinatorEvents = {
    "PeerArrived",         "Join",       "PeerLost",         "StateSaved",  "RemainsFound", "CoordinatorStopped",
    "CoordinatorDeadline", "Heartbeat",  "Prepared",         "NotPrepared", "StoreReached", "WorkerSucceeded",
    "NodeFinished",        "NodeFailed", "StopAcknowledged", "NodeReaped",  "Goodbye",      "Closed",
    "StatusRequest"};
const std::vector<const char*> kNodeEvents = {"AttemptReady",
                                              "AttemptNotReady",
                                              "AttemptSwept",
                                              "WorkerFact",
                                              "EvidenceGathered",
                                              "TemplateUnusable",
                                              "SignalArrived",
                                              "SentinelDied",
                                              "DeadlineArrived",
                                              "CoordinatorReached",
                                              "CoordinatorGone",
                                              "Welcome",
                                              "DialNote",
                                              "StoreOpened",
                                              "StoreNotOpened",
                                              "StoreAnswered",
                                              "StoreUnreachable",
                                              "StatusAsked",
                                              "Refused",
                                              "HeartbeatAnswer",
                                              "Waiting",
                                              "Prepare",
                                              "DialStore",
                                              "Go",
                                              "Stop",
                                              "Close",
                                              "StatusReply"};

const std::vector<CoordinatorMachine::Phase> kCoordinatorPhases = {
    CoordinatorMachine::Phase::kGathering, CoordinatorMachine::Phase::kPreparing, CoordinatorMachine::Phase::kRunning,
    CoordinatorMachine::Phase::kStopping, CoordinatorMachine::Phase::kClosing};
const std::vector<MemberMachine::Phase> kMemberPhases = {
    MemberMachine::Phase::kSeeking, MemberMachine::Phase::kWaiting,  MemberMachine::Phase::kPreparing,
    MemberMachine::Phase::kRunning, MemberMachine::Phase::kStopping, MemberMachine::Phase::kFinished,
    MemberMachine::Phase::kLeaving};

template <typename Phase, typename Table>
std::string report_of(const char* machine, const std::vector<Phase>& phases, const std::vector<const char*>& events,
                      const Table& table) {
  size_t seen = 0;
  std::string missing;
  for (const Phase phase : phases) {
    std::string absent;
    for (size_t i = 0; i < events.size(); ++i) {
      if (table[static_cast<size_t>(phase)][i] > 0) {
        ++seen;
      } else {
        absent += std::string(absent.empty() ? "" : ", ") + events[i];
      }
    }
    if (!absent.empty()) missing += std::string("  never in ") + name(phase) + ": " + absent + "\n";
  }
  return std::string(machine) + ": " + std::to_string(seen) + " of " + std::to_string(phases.size() * events.size()) +
         " (phase, event) pairs\n" + missing;
}

}  // namespace

const char* name(CoordinatorMachine::Phase phase) {
  static constexpr const char* kNames[] = {"gathering", "preparing", "running", "stopping", "closing", "closed"};
  return kNames[static_cast<size_t>(phase)];
}

const char* name(MemberMachine::Phase phase) {
  static constexpr const char* kNames[] = {"seeking",  "waiting",  "preparing", "running",
                                           "stopping", "finished", "leaving",   "done"};
  return kNames[static_cast<size_t>(phase)];
}

void Coverage::count(CoordinatorMachine::Phase phase, const CoordinatorEvent& event) {
  size_t index = event.index();
  if (const auto* said = std::get_if<PeerSaid>(&event); said != nullptr && said->message.index() > 0) {
    index = std::variant_size_v<CoordinatorEvent> + said->message.index() - 1;
  }
  ++coordinator_[static_cast<size_t>(phase)][index];
}

void Coverage::count(MemberMachine::Phase phase, const NodeEvent& event) {
  size_t index = event.index();
  if (const auto* said = std::get_if<CoordinatorSaid>(&event); said != nullptr && said->message.index() > 0) {
    index = std::variant_size_v<NodeEvent> + said->message.index() - 1;
  }
  ++node_[static_cast<size_t>(phase)][index];
}

void Coverage::add(const Coverage& other) {
  for (size_t phase = 0; phase < kPhases; ++phase) {
    for (size_t event = 0; event < kEvents; ++event) {
      coordinator_[phase][event] += other.coordinator_[phase][event];
      node_[phase][event] += other.node_[phase][event];
    }
  }
}

std::string Coverage::report() const {
  return report_of("coordinator", kCoordinatorPhases, kCoordinatorEvents, coordinator_) +
         report_of("node", kMemberPhases, kNodeEvents, node_);
}

}  // namespace ferrun::sim
