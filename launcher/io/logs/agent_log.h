// ferrun's own log lines: filtered by level, written in order with the workers' teed lines.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "launcher/config/job_config.h"

namespace ferrun {

class AgentLog {
 public:
  // `write` takes one line without its end. At kInfo and below, lines carry the time, the pid and their level.
  AgentLog(LogLevel level, std::function<void(const std::string&)> write);
  ~AgentLog();

  void say(LogLevel level, const std::string& line);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ferrun
