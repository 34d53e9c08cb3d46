// What the sentinel tells its agent about a signal that it took: one message each through a SOCK_SEQPACKET pair.
#pragma once

#include <cstdint>

namespace ferrun {

struct SignalMessage {
  int32_t signal = 0;
  int32_t sender = 0;  // its pid; 0: the kernel, or a process of an outer namespace
  int32_t code = 0;    // si_code
};

// Whether this process was started with the signal ignored, or has chosen so since.
bool ignored_now(int signal);

// What the user's shell asked to be ignored stays ignored: SIGHUP under nohup, SIGINT and SIGQUIT from the keyboard for
// a script's background job. A SIGINT or SIGQUIT that somebody sent to this very process is meant, though (torchrun
// obeys it as well). Needed wherever signals are blocked, since blocked ones arrive even when ignored.
bool is_meant(int signal, int code, bool ignored);

}  // namespace ferrun
