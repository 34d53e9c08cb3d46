// Whether a job's store is there yet. TCPStore asks as well, but tells each attempt that failed with a stack of C++
// functions. Thread rule: any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "common/result.h"

namespace ferrun::ddp {

struct ListenerWait {
  std::chrono::milliseconds timeout;
  // Called once, when so much time has gone: what the failure would say now.
  std::chrono::milliseconds silence = std::chrono::seconds(10);
  std::function<void(const std::string& refused)> still_waiting = {};
};

// Waits until a connection to the address is taken. Failure: nobody took one within the timeout, or the process was
// asked to stop meanwhile (client::note_stop_signals); one clause that says why.
Status wait_for_listener(const std::string& host, uint16_t port, const ListenerWait& wait);

}  // namespace ferrun::ddp
