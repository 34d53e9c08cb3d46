// Whether a job's store is there yet. TCPStore asks as well, but tells each attempt that failed with a stack of C++
// functions. Thread rule: any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "common/result.h"

namespace ferrun::ddp {

// Waits until a connection to the address is taken. Failure: nobody took one within `timeout`, or the process was asked
// to stop meanwhile (client::note_stop_signals); one clause that says why.
Status wait_for_listener(const std::string& host, uint16_t port, std::chrono::milliseconds timeout);

}  // namespace ferrun::ddp
