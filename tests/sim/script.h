// Stories of a job that a person can read: commands, a line of dashes, and everything that follows from them.
//
//   # A comment, above a block.
//   job nodes=3 workers=2        the first command of every script
//   start all
//   run 100ms
//   ----
//       0.000 node0       ferrun starts
//       ...
//
// A block ends at an empty line. Nothing in these stories is left to chance: every message takes 1 ms, a worker ends
// 1 ms after SIGTERM. What is shown are the lines that agents and the coordinator log, and what happens to workers.
//
//   job KEY=VALUE...                  nodes, workers (of each), min, max, restarts, own-process, silence, last-call,
//                                     scale-interval, min-uptime, join-timeout, coordinator-timeout, shutdown-timeout
//   start NODE...|all                 ferrun is started; restart NODE: again, where it has ended
//   run TIME                          time passes
//   succeed NODE...|all               their workers end with 0
//   fail NODE [exit|segfault|oom|abort|lost-peer]
//   kill NODE, lose NODE [TIME]       its agent by SIGKILL; its host's power
//   stall NODE TIME                   its agent stands still
//   term NODE|all                     SIGTERM
//   cut NODE... TIME [outwards|inwards], cut-agents, cut-workers, reset NODE, blackhole NODE, slow NODE TIME
//   coordinator start|start-empty|kill|term|stall TIME
//   differ NODE OPTION VALUE          its command line is not like the others'
//   messages on|off                   whether messages are shown
//   status                            what everybody is doing
#pragma once

#include <string>

#include "common/result.h"

namespace ferrun::sim {

struct ScriptResult {
  std::string text;        // the whole script with what really follows
  std::string difference;  // of the first block that is not as it should be; empty: all are
};

// `text` is a script's. An error names the line that cannot be understood.
Result<ScriptResult> run_script(const std::string& text);

}  // namespace ferrun::sim
