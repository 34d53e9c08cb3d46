#include "launcher/io/logs/log_router.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <list>
#include <map>
#include <system_error>
#include <tuple>

#include "common/io/clock.h"
#include "launcher/io/logs/log_console.h"
#include "launcher/io/logs/log_files.h"
#include "launcher/io/logs/log_pipe.h"
#include "launcher/io/logs/log_target.h"

namespace ferrun {
namespace {

namespace asio = boost::asio;

constexpr int kPipeSize = 256 << 10;  // fewer wake-ups than the usual 64 KiB; refused above the user's limit
constexpr int kReadsInARow = 4;       // then other events have their turn

constexpr const char* kDiskStands = "the disk is stopped or too slow";

struct PipeEnds {
  int reading = -1;
  int writing = -1;
};

Result<PipeEnds> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    const std::string reason = std::generic_category().message(errno);
    return Error{ErrorKind::kPlatform, "cannot make a pipe for a worker's output: " + reason + "; raise `ulimit -n`"};
  }
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);  // our end's description is ours alone; the worker's end blocks as usual
  ::fcntl(ends[0], F_SETPIPE_SZ, kPipeSize);
  return PipeEnds{ends[0], ends[1]};
}

}  // namespace

struct LogRouter::Impl : std::enable_shared_from_this<LogRouter::Impl> {
  using Key = std::tuple<int, int, Stream>;  // attempt, local rank
  struct Entry {
    std::shared_ptr<LogPipe> pipe;  // none for a stream that has the file itself
    std::filesystem::path file;
  };
  struct Drain {
    int attempt;
    asio::steady_timer timer;
    std::function<void()> done;
  };

  Impl(asio::io_context& context, Options given) : io(context), options(given), patience(context) {}

  LogSink& files();
  std::function<void()> resume_when_drained();

  void wait(const std::shared_ptr<LogPipe>& pipe);
  void pump(const std::shared_ptr<LogPipe>& pipe);
  void park(const std::shared_ptr<LogPipe>& pipe);
  void resume_parked();

  void forget_before(int attempt);
  bool has_open_pipe(int attempt) const;
  void finish_drains();
  void cut_short(int attempt);

  void close(TimePoint deadline);

  asio::io_context& io;
  Options options;
  std::map<Key, Entry> streams;
  std::vector<std::shared_ptr<LogPipe>> parked;  // wait for room in a queue
  asio::steady_timer patience;                   // until the first parked pipe has waited long enough
  std::list<Drain> drains;
  bool closed = false;

  std::optional<LogConsole> console;
  std::unique_ptr<LogSink> file_sink;
};

// Made when first needed: a run whose workers inherit everything, or only redirect, starts no thread.
LogSink& LogRouter::Impl::files() {
  if (file_sink) return *file_sink;
  LogWriter::Options writer;
  writer.queue_bytes = options.file_queue_bytes;
  writer.full_reason = kDiskStands;
  writer.report = [announce = console->announcer()](const std::string& line) { announce("ferrun: " + line); };
  writer.drained = resume_when_drained();
  file_sink = std::make_unique<LogSink>(std::move(writer), options.file_patience);
  return *file_sink;
}

std::function<void()> LogRouter::Impl::resume_when_drained() {
  return [&loop = io, weak = weak_from_this()] {
    asio::post(loop, [weak] {
      if (const auto self = weak.lock()) self->resume_parked();
    });
  };
}

void LogRouter::Impl::wait(const std::shared_ptr<LogPipe>& pipe) {
  pipe->descriptor().async_wait(asio::posix::stream_descriptor::wait_read,
                                [weak = weak_from_this(), pipe](const boost::system::error_code& error) {
                                  const auto self = weak.lock();
                                  if (self && !error) self->pump(pipe);
                                });
}

void LogRouter::Impl::pump(const std::shared_ptr<LogPipe>& pipe) {
  for (int reads = 0; reads < kReadsInARow; ++reads) {
    switch (pipe->read_once(monotonic_now())) {
      case LogPipe::Progress::kMore: continue;
      case LogPipe::Progress::kEmpty: return wait(pipe);
      case LogPipe::Progress::kWaiting: return park(pipe);
      case LogPipe::Progress::kEnded: return finish_drains();
    }
  }
  wait(pipe);
}

void LogRouter::Impl::park(const std::shared_ptr<LogPipe>& pipe) {
  const bool first = parked.empty();
  parked.push_back(pipe);
  auto until = asio::steady_timer::time_point::max();
  for (LogSink* sink : {pipe->waits_for_file(), pipe->waits_for_console()}) {
    if (sink == nullptr) continue;
    sink->writer.notify_below(sink->low);
    const TimePoint deadline = sink->flow.next_deadline().value_or(TimePoint{});
    until = std::min(until, asio::steady_timer::time_point(deadline.time_since_epoch()));
  }
  if (!first && patience.expiry() <= until) return;
  patience.expires_at(until);
  patience.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (self && !error) self->resume_parked();
  });
}

void LogRouter::Impl::resume_parked() {
  for (const auto& pipe : std::exchange(parked, {})) pump(pipe);
}

void LogRouter::Impl::forget_before(int attempt) {
  std::erase_if(streams, [attempt](const auto& item) {
    const Entry& entry = item.second;
    return std::get<0>(item.first) < attempt && (entry.pipe == nullptr || entry.pipe->ended());
  });
}

bool LogRouter::Impl::has_open_pipe(int attempt) const {
  return std::any_of(streams.begin(), streams.end(), [attempt](const auto& item) {
    return std::get<0>(item.first) == attempt && item.second.pipe != nullptr && !item.second.pipe->ended();
  });
}

void LogRouter::Impl::finish_drains() {
  for (auto drain = drains.begin(); drain != drains.end();) {
    if (has_open_pipe(drain->attempt)) {
      ++drain;
      continue;
    }
    asio::post(io, [weak = weak_from_this(), done = std::move(drain->done)] {
      const auto self = weak.lock();
      if (self && !self->closed) done();
    });
    drain = drains.erase(drain);
  }
}

void LogRouter::Impl::cut_short(int attempt) {
  for (auto& [key, entry] : streams) {
    if (std::get<0>(key) == attempt && entry.pipe != nullptr) entry.pipe->read_rest();
  }
}

void LogRouter::Impl::close(TimePoint deadline) {
  if (closed) return;
  closed = true;
  patience.cancel();
  drains.clear();
  parked.clear();
  for (auto& [key, entry] : streams) {
    if (entry.pipe != nullptr) entry.pipe->read_rest();
  }
  if (file_sink) {
    for (const LogWriter::Unwritten& lost : file_sink->writer.finish(deadline)) {
      console->announce("ferrun: " + describe_loss(lost.name, lost.loss, lost.reason));
    }
  }
  console->close(deadline);
}

LogRouter::LogRouter(asio::io_context& io, Options options) : impl_(std::make_shared<Impl>(io, options)) {
  impl_->console.emplace(LogConsole::Options{options.console_out, options.console_err, options.console_queue_bytes,
                                             options.console_patience, impl_->resume_when_drained()});
}

LogRouter::~LogRouter() { impl_->close(TimePoint{}); }

void LogRouter::keep_announcements(std::filesystem::path path) { impl_->console->keep_announcements(std::move(path)); }

Result<int> LogRouter::open(int attempt, int local_rank, Stream stream, const StreamPlan& plan) {
  impl_->forget_before(attempt - 1);
  if (plan.inherited()) return -1;
  int file = -1;
  if (plan.file) {
    Result<int> opened = open_log_file(*plan.file);
    if (!opened) return opened;
    file = *opened;
  }
  const Impl::Key key(attempt, local_rank, stream);
  if (!plan.tee) {
    impl_->streams[key] = {nullptr, *plan.file};
    return file;
  }
  Result<PipeEnds> ends = make_pipe();
  if (!ends) {
    if (file >= 0) ::close(file);
    return ends.error();
  }
  LogPipe::Destinations to;
  to.console = impl_->console->outlet(stream);
  if (plan.file) {
    LogSink& files = impl_->files();
    to.file = LogOutlet{&files, files.writer.add(plan.file->string(), file, /*owned=*/true)};
  }
  to.prefix = plan.prefix;
  to.longest_line = std::min(impl_->options.longest_line, impl_->options.console_queue_bytes / 4);
  auto pipe = std::make_shared<LogPipe>(impl_->io, ends->reading, std::move(to));
  impl_->streams[key] = {pipe, {}};
  impl_->wait(pipe);
  return ends->writing;
}

void LogRouter::drain(int attempt, TimePoint deadline, std::function<void()> done) {
  Impl& impl = *impl_;
  impl.drains.push_back({attempt, asio::steady_timer(impl.io), std::move(done)});
  asio::steady_timer& timer = impl.drains.back().timer;
  timer.expires_at(asio::steady_timer::time_point(deadline.time_since_epoch()));
  timer.async_wait([weak = impl.weak_from_this(), attempt](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!self || error) return;
    self->cut_short(attempt);
    self->finish_drains();
  });
  impl.finish_drains();
}

std::vector<std::string> LogRouter::tail(int attempt, int local_rank, Stream stream) const {
  const auto found = impl_->streams.find(Impl::Key(attempt, local_rank, stream));
  if (found == impl_->streams.end()) return {};
  const Impl::Entry& entry = found->second;
  if (entry.pipe != nullptr) return entry.pipe->tail().lines(impl_->options.tail_lines);
  return read_last_lines(entry.file, impl_->options.tail_lines);
}

void LogRouter::announce(const std::string& line) { impl_->console->announce(line); }

void LogRouter::close(TimePoint deadline) { impl_->close(deadline); }

}  // namespace ferrun
