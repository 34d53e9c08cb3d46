// How a command of the worker ended, and how the ranks agree on a failure before training starts.
#pragma once

#include <optional>
#include <string>

#include "common/exit_status.h"
#include "common/result.h"
#include "worker/ddp/process_group.h"

namespace ferrun::train {

struct Ending {
  int status = 0;       // the process's exit status
  std::string message;  // one line; empty on success
  // Whether this rank shows the line. Every failing rank writes it to its error file.
  bool tell = true;
  // Another rank is at fault: it ended first, or does not answer.
  bool lost_peer = false;

  static Ending success() { return {}; }
  static Ending failure(const Error& error) {
    return {error.kind == ErrorKind::kUsage ? kExitUsage : 1, error.message, true};
  }
};

// Nothing when all ranks are well. Otherwise every rank gets the failure of the lowest failing rank, which tells it.
std::optional<Ending> agree(ddp::ProcessGroup& group, const Status& own);

}  // namespace ferrun::train
