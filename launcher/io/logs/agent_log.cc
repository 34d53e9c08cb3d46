#include "launcher/io/logs/agent_log.h"

#define SPDLOG_HEADER_ONLY
#define FMT_HEADER_ONLY
#include <spdlog/details/null_mutex.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>

#include <utility>

namespace ferrun {
namespace {

// One thread uses it: no lock.
class LineSink : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit LineSink(std::function<void(const std::string&)> write) : write_(std::move(write)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    write_(std::string(line.data(), line.size()));
  }
  void flush_() override {}

 private:
  std::function<void(const std::string&)> write_;
};

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarning: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::warn;
}

}  // namespace

struct AgentLog::Impl {
  explicit Impl(std::shared_ptr<LineSink> sink) : logger("ferrun", std::move(sink)) {}
  spdlog::logger logger;
};

AgentLog::AgentLog(LogLevel level, std::function<void(const std::string&)> write) {
  auto sink = std::make_shared<LineSink>(std::move(write));
  const bool detailed = level <= LogLevel::kInfo;
  sink->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      detailed ? "%Y-%m-%dT%H:%M:%S.%e ferrun[%P] %l: %v" : "ferrun: %v", spdlog::pattern_time_type::local, ""));
  impl_ = std::make_unique<Impl>(std::move(sink));
  impl_->logger.set_level(spdlog_level(level));
}

AgentLog::~AgentLog() = default;

void AgentLog::say(LogLevel level, const std::string& line) { impl_->logger.log(spdlog_level(level), line); }

}  // namespace ferrun
