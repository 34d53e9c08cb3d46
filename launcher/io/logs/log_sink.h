// A writer together with the flow that bounds its queue, and one stream's share of it.
#pragma once

#include <atomic>
#include <utility>

#include "common/time.h"
#include "launcher/io/logs/log_writer.h"
#include "launcher/logs/log_flow.h"

namespace ferrun {

// Thread rule: the thread that runs the event loop.
struct LogSink {
  LogSink(LogWriter::Options options, const LogFlow::Limits& limits)
      : low(limits.low),
        capacity(options.queue_bytes),
        flow(limits),
        can_be_late(limits.late < limits.patience),
        writer(std::move(options)) {}

  LogFlow::Verdict judge(TimePoint now) { return flow.judge(writer.queued(), writer.moved_at(), now); }

  size_t low;
  size_t capacity;
  LogFlow flow;
  bool can_be_late;
  LogWriter writer;
  // Of a console: the stream whose unfinished line was shown last, if nothing has been written behind it. Another one
  // begins with a newline. Set by the event loop; a writer's thread only ends it.
  std::atomic<const void*> open_line = nullptr;
};

struct LogOutlet {
  LogSink* sink = nullptr;
  LogWriter::Target target = 0;
};

}  // namespace ferrun
