// Whether a new round may begin now, and if not, what it waits for. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "common/time.h"

namespace ferrun {

// Some nodes of one kind, named as far as a sentence lists them.
struct NodeGroup {
  size_t count = 0;
  std::vector<std::string> names;
};

// What matters of the membership while no round is prepared or running.
struct Gathering {
  int min_nodes = 1;
  int max_nodes = 1;
  NodeGroup ready;                         // joined, connected, and none of their older workers is left
  size_t veterans = 0;                     // of these: were part of the last round
  NodeGroup stopping;                      // connected; older workers may still run
  NodeGroup returning;                     // of the last round; their connections broke a moment ago
  NodeGroup fenced;                        // not heard of; their workers may run until their leases end
  TimePoint fences_end{};                  // of all of these
  std::vector<std::string> absent;         // what is known of those that are not there, a clause each
  std::optional<TimePoint> recovery_end;   // a coordinator took over: nodes of the newest round may be on their own
  std::string recovery;                    // while recovery_end is set: who is expected
  std::optional<TimePoint> settle_end;     // after a goodbye by signal: others may follow
  std::string settle;                      // while settle_end is set: who left
  std::optional<TimePoint> last_call_end;  // once min_nodes are ready
  std::optional<TimePoint> held_until;     // after a failure: --restart-delay
};

struct RoundDecision {
  bool form = false;               // a round of the ready nodes, of max_nodes of them at most
  std::string why;                 // one sentence: why it forms, or what it waits for
  std::optional<TimePoint> until;  // when time alone changes the decision
};

// Total: form only if at least min_nodes are ready and no worker of an older round can be running anywhere.
RoundDecision decide_round(const Gathering& nodes, TimePoint now);

}  // namespace ferrun
