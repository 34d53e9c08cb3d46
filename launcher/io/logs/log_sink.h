// A writer together with the flow that bounds its queue, and one stream's share of it.
#pragma once

#include <utility>

#include "common/time.h"
#include "launcher/io/logs/log_writer.h"
#include "launcher/logs/log_flow.h"

namespace ferrun {

// Thread rule: the thread that runs the event loop.
struct LogSink {
  // Of a standstill: `late` until streams that can catch up later go on, `patience` until lines are lost.
  LogSink(LogWriter::Options options, Duration late, Duration patience)
      : low(options.queue_bytes / 4),
        capacity(options.queue_bytes),
        flow({options.queue_bytes / 2, low, late, patience}),
        can_be_late(late < patience),
        writer(std::move(options)) {}

  LogFlow::Verdict judge(TimePoint now) { return flow.judge(writer.queued(), writer.moved_at(), now); }

  size_t low;
  size_t capacity;
  LogFlow flow;
  bool can_be_late;
  LogWriter writer;
};

struct LogOutlet {
  LogSink* sink = nullptr;
  LogWriter::Target target = 0;
};

}  // namespace ferrun
