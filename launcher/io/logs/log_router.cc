#include "launcher/io/logs/log_router.h"

#include <fcntl.h>
#include <sys/stat.h>
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
#include "launcher/io/logs/log_catch_up.h"
#include "launcher/io/logs/log_console.h"
#include "launcher/io/logs/log_pipe.h"
#include "launcher/io/logs/log_target.h"

namespace ferrun {
namespace {

namespace asio = boost::asio;

constexpr int kPipeSize = 256 << 10;  // fewer wake-ups than the usual 64 KiB; refused above the user's limit
constexpr int kReadsInARow = 4;       // then other events have their turn

constexpr Duration kAskAgain = std::chrono::milliseconds(50);  // whether a slow destination has taken its rest

// A line that is written in two pieces is shown as one; a prompt is shown as if at once.
constexpr Duration kRestOfLine = std::chrono::milliseconds(100);

constexpr const char* kDiskStands = "the disk is stopped or too slow";

struct PipeEnds {
  UniqueFd reading;
  UniqueFd writing;
};

Result<PipeEnds> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    const std::string reason = std::generic_category().message(errno);
    return Error{ErrorKind::kPlatform, "cannot make a pipe for a worker's output: " + reason + "; raise `ulimit -n`"};
  }
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);  // our end's description is ours alone; the worker's end blocks as usual
  ::fcntl(ends[0], F_SETPIPE_SZ, kPipeSize);
  return PipeEnds{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

bool is_regular(const UniqueFd& file) {
  struct stat what {};
  return file && ::fstat(file.get(), &what) == 0 && S_ISREG(what.st_mode);
}

// How a console gets from `file` what it did not take when it was written.
std::function<std::shared_ptr<LogSource>(uint64_t, const LineSplitter&)> catch_up_from(
    const UniqueFd& file, std::shared_ptr<LogFileProgress> progress, std::string prefix) {
  const off_t begin = ::lseek(file.get(), 0, SEEK_END);
  return [fd = file.get(), begin, progress, prefix](uint64_t offset, const LineSplitter& state) {
    UniqueFd own(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (!own) return std::shared_ptr<LogSource>();
    return std::shared_ptr<LogSource>(
        std::make_shared<LogCatchUp>(std::move(own), LogCatchUp::Place{begin, offset}, progress, state, prefix));
  };
}

}  // namespace

struct LogRouter::Impl : std::enable_shared_from_this<LogRouter::Impl> {
  using Key = std::tuple<int, int, Stream>;  // attempt, local rank
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
  void await_rest_of_line(const std::shared_ptr<LogPipe>& pipe);
  void park(const std::shared_ptr<LogPipe>& pipe);
  void resume_parked();

  void forget_before(int attempt);
  bool has_open_pipe(int attempt) const;
  // Null where the stream is not read.
  LogTail* tail(int attempt, int local_rank, Stream stream) const;
  void finish_drains();
  void cut_short(int attempt);
  void cut_short_at(int attempt, asio::steady_timer& timer, TimePoint deadline);

  LogPipe::Destinations destinations(int attempt, Stream stream, const StreamPlan& plan, UniqueFd file);
  void close(Duration patience, const std::function<bool()>& hurry);

  asio::io_context& io;
  Options options;
  std::map<Key, std::shared_ptr<LogPipe>> streams;
  std::map<std::pair<int, Stream>, std::shared_ptr<const LineFilter>> filters;  // by attempt
  std::optional<LogOutlet> records;
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
  const LogFlow::Limits limits = flow_limits(LogDestination::kFile, options.file_queue_bytes, options.patience);
  file_sink = std::make_unique<LogSink>(std::move(writer), limits);
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
      case LogPipe::Progress::kEmpty:
        if (pipe->has_unshown_part()) await_rest_of_line(pipe);
        return wait(pipe);
      case LogPipe::Progress::kWaiting: return park(pipe);
      case LogPipe::Progress::kEnded: return finish_drains();
    }
  }
  wait(pipe);
}

// The timer that runs is not set anew for every piece: one that finds that more has come meanwhile runs again.
void LogRouter::Impl::await_rest_of_line(const std::shared_ptr<LogPipe>& pipe) {
  std::optional<asio::steady_timer>& timer = pipe->part_timer();
  if (timer) return;
  timer.emplace(io, kRestOfLine);
  timer->async_wait([weak = weak_from_this(), pipe, seen = pipe->delivered()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!self || error) return;
    pipe->part_timer().reset();
    if (!pipe->has_unshown_part()) return;
    if (pipe->delivered() != seen) return self->await_rest_of_line(pipe);
    pipe->show_part();
  });
}

void LogRouter::Impl::park(const std::shared_ptr<LogPipe>& pipe) {
  const bool first = parked.empty();
  parked.push_back(pipe);
  auto until = asio::steady_timer::time_point::max();
  for (LogSink* sink : {pipe->waits_for_file(), pipe->waits_for_console()}) {
    if (sink == nullptr) continue;
    sink->writer.notify_below(sink->low);
    const std::optional<TimePoint> deadline = sink->flow.next_deadline();
    if (deadline) until = std::min(until, asio::steady_timer::time_point(deadline->time_since_epoch()));
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
  std::erase_if(streams,
                [attempt](const auto& item) { return std::get<0>(item.first) < attempt && item.second->ended(); });
}

bool LogRouter::Impl::has_open_pipe(int attempt) const {
  return std::any_of(streams.begin(), streams.end(), [attempt](const auto& item) {
    return std::get<0>(item.first) == attempt && !item.second->ended();
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

// What a destination that makes progress has to take still is waited for.
void LogRouter::Impl::cut_short(int attempt) {
  for (auto& [key, pipe] : streams) {
    if (std::get<0>(key) != attempt || pipe->ended()) continue;
    if (pipe->waits_for_progress()) {
      pipe->limit_to_rest();
    } else {
      pipe->read_rest();
    }
  }
}

void LogRouter::Impl::cut_short_at(int attempt, asio::steady_timer& timer, TimePoint deadline) {
  timer.expires_at(asio::steady_timer::time_point(deadline.time_since_epoch()));
  timer.async_wait([weak = weak_from_this(), attempt, &timer](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!self || error) return;
    self->cut_short(attempt);
    // With the last pipe this drain has ended, and its timer.
    if (self->has_open_pipe(attempt)) return self->cut_short_at(attempt, timer, monotonic_now() + kAskAgain);
    self->finish_drains();
  });
}

void LogRouter::Impl::close(Duration patience_at_end, const std::function<bool()>& hurry) {
  if (closed) return;
  closed = true;
  patience.cancel();
  drains.clear();
  parked.clear();
  for (auto& [key, pipe] : streams) pipe->read_rest();
  filters.clear();
  if (records) records->sink->writer.end(records->target);
  records.reset();
  const LogWriter::Patience last{monotonic_now(), patience_at_end, hurry};
  if (file_sink) {
    for (const LogWriter::Unwritten& lost : file_sink->writer.finish(last)) {
      console->announce("ferrun: " + describe_loss(lost.name, lost.loss, lost.reason));
    }
  }
  console->close(last);
}

LogRouter::LogRouter(asio::io_context& io, Options options) : impl_(std::make_shared<Impl>(io, options)) {
  impl_->console.emplace(LogConsole::Options{options.console_out, options.console_err, options.console_queue_bytes,
                                             options.patience, impl_->resume_when_drained()});
}

LogRouter::~LogRouter() { impl_->close({}, {}); }

void LogRouter::keep_announcements(const std::filesystem::path& path, bool make_folder) {
  impl_->console->keep_announcements(path, make_folder);
}

LogPipe::Destinations LogRouter::Impl::destinations(int attempt, Stream stream, const StreamPlan& plan, UniqueFd file) {
  LogPipe::Destinations to;
  if (plan.tee) to.console = console->outlet(stream);
  if (const auto found = filters.find({attempt, stream}); plan.tee && found != filters.end()) to.filter = found->second;
  to.prefix = plan.prefix;
  to.longest_line = std::min(options.longest_line, options.console_queue_bytes / 4);
  if (!file) return to;
  LogSink& sink = files();
  if (options.rotation.on()) {
    const int fd = file.release();
    to.file = LogOutlet{&sink, sink.writer.add_rotated(plan.file->string(), fd, options.rotation)};
    return to;
  }
  std::shared_ptr<LogFileProgress> progress;
  if (to.console && to.console->sink->can_be_late && is_regular(file)) {
    progress = std::make_shared<LogFileProgress>();
    to.catch_up = catch_up_from(file, progress, plan.prefix);
  }
  to.file = LogOutlet{&sink, sink.writer.add(plan.file->string(), file.release(), /*owned=*/true, std::move(progress))};
  return to;
}

Result<UniqueFd> LogRouter::open(int attempt, int local_rank, Stream stream, const StreamPlan& plan, UniqueFd file) {
  impl_->forget_before(attempt - 1);
  if (plan.inherited()) return UniqueFd();
  if (!plan.tee && !is_regular(file)) return file;  // /dev/null: nothing that could be emptied
  Result<PipeEnds> ends = make_pipe();
  if (!ends) return ends.error();
  auto pipe = std::make_shared<LogPipe>(impl_->io, ends->reading.release(),
                                        impl_->destinations(attempt, stream, plan, std::move(file)));
  impl_->streams[Impl::Key(attempt, local_rank, stream)] = pipe;
  impl_->wait(pipe);
  return std::move(ends->writing);
}

void LogRouter::keep_records(const std::string& name, UniqueFd file) {
  LogSink& sink = impl_->files();
  impl_->records = LogOutlet{&sink, sink.writer.add(name, file.release(), /*owned=*/true)};
}

void LogRouter::record(const std::string& line) {
  if (impl_->records) impl_->records->sink->writer.write(impl_->records->target, line + "\n");
}

void LogRouter::filter(int attempt, Stream stream, const LineFilterPlan& plan, UniqueFd file) {
  std::erase_if(impl_->filters, [attempt](const auto& item) { return item.first.first < attempt; });
  LogSink& sink = impl_->files();
  const LogOutlet outlet{&sink, sink.writer.add_rotated(plan.file.string(), file.release(), impl_->options.rotation)};
  impl_->filters[{attempt, stream}] = std::make_shared<LineFilter>(outlet, plan.texts);
}

void LogRouter::drain(int attempt, TimePoint deadline, std::function<void()> done) {
  Impl& impl = *impl_;
  impl.drains.push_back({attempt, asio::steady_timer(impl.io), std::move(done)});
  asio::steady_timer& timer = impl.drains.back().timer;
  impl.cut_short_at(attempt, timer, deadline);
  impl.finish_drains();
}

LogTail* LogRouter::Impl::tail(int attempt, int local_rank, Stream stream) const {
  const auto found = streams.find(Key(attempt, local_rank, stream));
  return found == streams.end() ? nullptr : &found->second->tail();
}

std::vector<std::string> LogRouter::tail(int attempt, int local_rank, Stream stream) const {
  const LogTail* const tail = impl_->tail(attempt, local_rank, stream);
  return tail == nullptr ? std::vector<std::string>() : tail->lines(impl_->options.tail_lines);
}

std::vector<std::string> LogRouter::tail_before_mark(int attempt, int local_rank, Stream stream) const {
  const LogTail* const tail = impl_->tail(attempt, local_rank, stream);
  return tail == nullptr ? std::vector<std::string>() : tail->lines_before_mark(impl_->options.tail_lines);
}

void LogRouter::mark_tail(int attempt, int local_rank, Stream stream) {
  if (LogTail* const tail = impl_->tail(attempt, local_rank, stream)) tail->mark();
}

void LogRouter::announce(const std::string& line) { impl_->console->announce(line); }

void LogRouter::close(Duration patience, const std::function<bool()>& hurry) { impl_->close(patience, hurry); }

}  // namespace ferrun
