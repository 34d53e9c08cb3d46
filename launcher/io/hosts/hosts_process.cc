#include "launcher/io/hosts/hosts_process.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <csignal>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/exit_status.h"
#include "common/io/clock.h"
#include "common/io/unique_fd.h"
#include "common/line_splitter.h"
#include "common/printable_text.h"
#include "launcher/exit_statuses.h"
#include "launcher/hosts/hosts_machine.h"
#include "launcher/hosts/shared_output.h"
#include "launcher/io/logs/agent_log.h"
#include "launcher/io/logs/log_writer.h"
#include "launcher/io/process/child.h"
#include "launcher/io/process/spawn.h"

namespace ferrun {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

constexpr size_t kHostsQueueBytes = 8 << 20;
// Hosts are read no further while so much waits for the reader of this process's output.
constexpr size_t kEnoughQueued = 1 << 20;
constexpr size_t kLongestLine = 1 << 20;
constexpr Duration kHostsLastWords = std::chrono::seconds(5);
// A connection that others share (ssh's ControlMaster) holds the streams open when its host's agent has ended.
constexpr milliseconds kOpenStreams{300};

struct PipeEnds {
  UniqueFd read, write;
};

Result<PipeEnds> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error{ErrorKind::kPlatform, "cannot make a pipe: out of descriptors"};
  return PipeEnds{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

class HostsProcess;

// One host: the process that reaches it, and its three streams.
class HostConnection {
 public:
  HostConnection(HostsProcess& hosts, asio::io_context& io, size_t number)
      : hosts_(hosts), number_(number), input_(io), out_(io), err_(io), open_streams_(io) {}

  Status start(const HostPlan& plan, const Environment& environment);
  void send(const std::string& words);
  void hang_up() {
    if (child_) ::kill(child_->pid(), SIGTERM);
  }
  void read_on();

 private:
  struct Stream {
    explicit Stream(asio::io_context& io) : pipe(io) {}
    asio::posix::stream_descriptor pipe;
    LineSplitter lines{kLongestLine};
    bool reading = false, ended = false;
    std::array<char, 32768> buffer{};
  };

  asio::io_context& io();
  void write_more();
  void read(Stream& stream);
  void take(Stream& stream, std::string_view bytes);
  void take_line(Stream& stream, std::string_view line, std::string& shown);
  void end(Stream& stream);
  void end_if_over();

  HostsProcess& hosts_;
  const size_t number_;
  asio::posix::stream_descriptor input_;
  std::deque<std::string> to_send_;
  bool writing_ = false;
  Stream out_, err_;
  std::optional<Child> child_;
  std::optional<ExitStatus> status_;
  asio::steady_timer open_streams_;
  bool answered_ = false, told_ = false;
  std::vector<std::string> early_;  // lines of stderr from before the answer: ssh's own
  std::string last_words_;
};

class HostsProcess {
 public:
  explicit HostsProcess(HostsJob job)
      : job_(std::move(job)),
        log_(job_.log_level, [this](const std::string& line) { err_.write(stderr_, line + "\n"); }),
        signals_(io_, SIGTERM, SIGINT, SIGHUP),
        machine_(machine_config(job_)),
        shared_(job_.hosts.size()) {
    for (const int signal : {SIGQUIT, SIGUSR1, SIGUSR2}) signals_.add(signal);
  }

  int run() {
    await_signal();
    for (size_t host = 0; host < job_.hosts.size(); ++host) {
      hosts_.push_back(std::make_unique<HostConnection>(*this, io_, host));
      if (Status started = hosts_.back()->start(job_.hosts[host], environment_); !started) {
        log_.say(LogLevel::kError, started.error().message);
        tell(HostEnded{host, ExitStatus::exited(exit_status_of(started.error())), ""});
      }
    }
    while (!exit_status_) io_.run_one();
    for (LogWriter* const writer : {&out_, &err_}) writer->finish({monotonic_now(), kHostsLastWords, nullptr});
    return *exit_status_;
  }

  asio::io_context& io() { return io_; }
  const std::string& name(size_t host) const { return job_.hosts[host].name; }
  SharedOutput& shared() { return shared_; }

  void tell(const HostsEvent& event) {
    machine_.step(event);
    for (const HostsEffect& effect : machine_.take_effects()) {
      std::visit([this](const auto& each) { carry_out(each); }, effect);
    }
  }

  void show(bool is_error, const std::string& lines) {
    if (lines.empty()) return;
    (is_error ? err_ : out_).write(is_error ? stderr_ : stdout_, lines);
  }

  bool may_read() {
    for (LogWriter* const writer : {&out_, &err_}) {
      if (writer->queued() <= kEnoughQueued) continue;
      writer->notify_below(kEnoughQueued / 2);
      return false;
    }
    return true;
  }

 private:
  static HostsMachine::Config machine_config(const HostsJob& job) {
    HostsMachine::Config config;
    for (const HostPlan& host : job.hosts) config.hosts.push_back({host.name, host.by_ssh});
    config.least = job.least;
    return config;
  }

  LogWriter::Options writer_options() {
    const auto read_on = [this] {
      asio::post(io_, [this] {
        for (const auto& host : hosts_) host->read_on();
      });
    };
    return {kHostsQueueBytes, "the reader of ferrun's output is stopped or too slow", nullptr, read_on};
  }

  void await_signal() {
    signals_.async_wait([this](const boost::system::error_code& error, int signal) {
      if (error) return;
      tell(StopAsked{signal});
      await_signal();
    });
  }

  void carry_out(const SignalHost& effect) { hosts_[effect.host]->send(signal_name(effect.signal) + "\n"); }
  void carry_out(const HangUpOnHost& effect) {
    if (effect.host < hosts_.size()) hosts_[effect.host]->hang_up();
  }
  void carry_out(const SayOfHosts& effect) {
    log_.say(effect.is_error ? LogLevel::kError : LogLevel::kWarning, effect.line);
  }
  void carry_out(const HostsDone& effect) { exit_status_ = effect.exit_status; }

  asio::io_context io_{1};
  HostsJob job_;
  const Environment environment_ = Environment::from_block(environ);
  LogWriter out_{writer_options()}, err_{writer_options()};
  const LogWriter::Target stdout_ = out_.add("stdout", STDOUT_FILENO, /*owned=*/false);
  const LogWriter::Target stderr_ = err_.add("stderr", STDERR_FILENO, /*owned=*/false);
  AgentLog log_;
  asio::signal_set signals_;
  HostsMachine machine_;
  SharedOutput shared_;
  std::vector<std::unique_ptr<HostConnection>> hosts_;
  std::optional<int> exit_status_;
};

Status HostConnection::start(const HostPlan& plan, const Environment& environment) {
  Result<PipeEnds> in = make_pipe(), out = make_pipe(), err = make_pipe();
  for (const auto* const made : {&in, &out, &err}) {
    if (!*made) return made->error();
  }
  // Its standard input is a pipe, which the start of a process does not offer: the shell puts it there.
  std::vector<std::string> argv = {"/bin/sh", "-c", "exec \"$@\" <&3 3<&-", "sh"};
  argv.insert(argv.end(), plan.command.begin(), plan.command.end());
  const std::vector<int> any_cpu;
  SpawnPlan spawn{argv, environment, out->write.get(), err->write.get(), in->read.get(), any_cpu};
  spawn.mode = SpawnPlan::Mode::kQuick;
  const Result<SpawnedProcess> spawned = spawn_process(spawn);
  if (!spawned) return spawned.error();
  child_.emplace(io(), spawned->pid, [this](int wait_status) {
    status_ = ExitStatus::from_wait_status(wait_status);
    open_streams_.expires_after(kOpenStreams);
    open_streams_.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      end(out_);
      end(err_);
    });
    end_if_over();
  });
  for (const int fd : {in->write.get(), out->read.get(), err->read.get()}) {
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  }
  input_.assign(in->write.release());
  out_.pipe.assign(out->read.release());
  err_.pipe.assign(err->read.release());
  send(encode_host_order(plan.order));
  read_on();
  return ok_status();
}

asio::io_context& HostConnection::io() { return hosts_.io(); }

void HostConnection::send(const std::string& words) {
  to_send_.push_back(words);
  if (!writing_) write_more();
}

void HostConnection::write_more() {
  if (to_send_.empty() || !input_.is_open()) return;
  writing_ = true;
  asio::async_write(input_, asio::buffer(to_send_.front()), [this](const boost::system::error_code& error, size_t) {
    writing_ = false;
    if (error) return;  // the process has ended, which its end tells
    to_send_.pop_front();
    write_more();
  });
}

void HostConnection::read_on() {
  for (Stream* const stream : {&out_, &err_}) {
    if (!stream->reading && !stream->ended && stream->pipe.is_open()) read(*stream);
  }
}

void HostConnection::read(Stream& stream) {
  if (!hosts_.may_read()) return;
  stream.reading = true;
  stream.pipe.async_read_some(asio::buffer(stream.buffer),
                              [this, &stream](const boost::system::error_code& error, size_t count) {
                                stream.reading = false;
                                if (stream.ended) return;
                                if (error) return end(stream);
                                take(stream, {stream.buffer.data(), count});
                                read(stream);
                              });
}

void HostConnection::take(Stream& stream, std::string_view bytes) {
  std::string shown;
  stream.lines.feed(bytes, [&](std::string_view line) { take_line(stream, line, shown); });
  hosts_.show(&stream == &err_, shown);
}

void HostConnection::take_line(Stream& stream, std::string_view line, std::string& shown) {
  if (&stream == &err_) {
    if (!line.empty()) last_words_ = printable(line);
    if (!answered_) {
      early_.emplace_back(line);
    } else {
      hosts_.shared().take(number_, line, shown);
    }
    return;
  }
  if (answered_) {
    shown.append(line).push_back('\n');
  } else if (line == kHostAnswer) {
    answered_ = true;
    std::string said;
    for (const std::string& early : std::exchange(early_, {})) said += hosts_.name(number_) + ": " + early + "\n";
    hosts_.show(/*is_error=*/true, said);
    last_words_.clear();
    hosts_.tell(HostAnswered{number_});
  }
  // Else what a login shell prints before it runs anything.
}

void HostConnection::end(Stream& stream) {
  if (stream.ended) return;
  stream.ended = true;
  std::string shown;
  stream.lines.finish([&](std::string_view line) { take_line(stream, line, shown); });
  if (&stream == &err_ && answered_) hosts_.shared().end(number_, shown);
  hosts_.show(&stream == &err_, shown);
  boost::system::error_code ignored;
  stream.pipe.close(ignored);
  end_if_over();
}

void HostConnection::end_if_over() {
  if (told_ || !status_ || !out_.ended || !err_.ended) return;
  told_ = true;
  open_streams_.cancel();
  hosts_.tell(HostEnded{number_, *status_, last_words_});
}

}  // namespace

int run_on_hosts(HostsJob job) {
  std::signal(SIGPIPE, SIG_IGN);
  return HostsProcess(std::move(job)).run();
}

std::string ssh_address(const std::vector<std::string>& ssh, const std::string& name) {
  constexpr std::string_view kKey = "hostname ";
  std::string address = name.substr(name.find('@') == std::string::npos ? 0 : name.find('@') + 1);
  if (ssh.front() != "ssh" && !ssh.front().ends_with("/ssh")) return address;
  Result<PipeEnds> pipe = make_pipe();
  if (!pipe) return address;
  std::vector<std::string> argv = {"/bin/sh", "-c", "exec \"$@\" 2>/dev/null </dev/null", "sh"};
  argv.insert(argv.end(), ssh.begin(), ssh.end());
  argv.insert(argv.end(), {"-G", name});
  const Environment environment = Environment::from_block(environ);
  const std::vector<int> any_cpu;
  SpawnPlan spawn{argv, environment, pipe->write.get(), -1, -1, any_cpu};
  spawn.mode = SpawnPlan::Mode::kQuick;
  const Result<SpawnedProcess> spawned = spawn_process(spawn);
  if (!spawned) return address;
  pipe->write.reset();
  LineSplitter lines(kLongestLine);
  const auto look = [&](std::string_view line) {
    if (line.starts_with(kKey)) address = line.substr(kKey.size());
  };
  std::array<char, 4096> buffer{};
  for (ssize_t count = 0; (count = ::read(pipe->read.get(), buffer.data(), buffer.size())) > 0;) {
    lines.feed({buffer.data(), static_cast<size_t>(count)}, look);
  }
  lines.finish(look);
  int status = 0;
  ::waitpid(spawned->pid, &status, 0);
  return address;
}

}  // namespace ferrun
