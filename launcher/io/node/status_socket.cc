#include "launcher/io/node/status_socket.h"

#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <utility>

#include "common/io/clock.h"
#include "common/io/unique_fd.h"
#include "common/json_text.h"
#include "launcher/io/node/runtime_folder.h"
#include "rendezvous/job/job_status.h"

namespace ferrun {

namespace fs = std::filesystem;
using boost::asio::local::stream_protocol;
using nlohmann::json;

namespace {

constexpr size_t kMostAsking = 16;
constexpr std::chrono::seconds kTimeToAnswer{5};
constexpr size_t kLongestAnswer = 64 << 20;
// While descriptors or memory are exhausted: the connection that could not be accepted stays ready.
constexpr std::chrono::milliseconds kPauseAfterFailure{200};
constexpr const char* kSocketPrefix = "agent-";
constexpr const char* kSocketSuffix = ".socket";

// No other agent's, whatever PID namespaces share the folder.
std::string unique_name() {
  uint64_t number = 0;
  if (getrandom(&number, sizeof number, GRND_NONBLOCK) != sizeof number) {
    number = static_cast<uint64_t>(monotonic_now().time_since_epoch().count());
  }
  return kSocketPrefix + std::to_string(getpid()) + "-" + std::to_string(number) + kSocketSuffix;
}

}  // namespace

struct StatusSocket::Impl : std::enable_shared_from_this<Impl> {
  struct Asking {
    Asking(stream_protocol::socket given, boost::asio::io_context& io) : socket(std::move(given)), timer(io) {}
    stream_protocol::socket socket;
    boost::asio::steady_timer timer;
    std::string answer;
  };

  Impl(boost::asio::io_context& loop, fs::path at, std::string job, OnAsked asked)
      : io(loop),
        path(std::move(at)),
        job_id(std::move(job)),
        on_asked(std::move(asked)),
        acceptor(loop),
        pause(loop) {}

  void accept() {
    acceptor.async_accept(
        [weak = weak_from_this()](const boost::system::error_code& error, stream_protocol::socket socket) {
          const auto self = weak.lock();
          if (!self || error == boost::asio::error::operation_aborted) return;
          if (error) return self->accept_later();
          self->take(std::move(socket));
          self->accept();
        });
  }

  void accept_later() {
    pause.expires_after(kPauseAfterFailure);
    pause.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (self && !error) self->accept();
    });
  }

  void take(stream_protocol::socket socket) {
    if (asking.size() >= kMostAsking) return;  // closes it
    const uint32_t id = ++last_id;
    auto entry = std::make_shared<Asking>(std::move(socket), io);
    entry->timer.expires_after(kTimeToAnswer);
    entry->timer.async_wait([weak = weak_from_this(), id](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (self && !error) self->asking.erase(id);
    });
    asking.emplace(id, std::move(entry));
    on_asked(id);
  }

  void answer(uint32_t id, const std::string& status) {
    const auto found = asking.find(id);
    if (found == asking.end() || !found->second->answer.empty()) return;
    const std::shared_ptr<Asking> entry = found->second;
    const json line = {{"job", job_id}, {"agent", getpid()}, {"status", json::parse(status)}};
    entry->answer = json_text(line) + "\n";
    boost::asio::async_write(entry->socket, boost::asio::buffer(entry->answer),
                             [weak = weak_from_this(), id, entry](const boost::system::error_code&, size_t) {
                               if (const auto self = weak.lock()) self->asking.erase(id);
                             });
  }

  boost::asio::io_context& io;
  fs::path path;
  std::string job_id;
  OnAsked on_asked;
  stream_protocol::acceptor acceptor;
  boost::asio::steady_timer pause;
  std::map<uint32_t, std::shared_ptr<Asking>> asking;
  uint32_t last_id = 0;
};

Result<std::unique_ptr<StatusSocket>> StatusSocket::listen(boost::asio::io_context& io, const fs::path& folder,
                                                           std::string job_id, OnAsked on_asked) {
  const std::string name = unique_name();
  const fs::path path = folder / name;
  // Under its name only once it listens: whoever finds one there that refuses removes it.
  const fs::path draft = folder / ("." + name);
  const auto refused = [&path](const std::string& why) {
    return Error{ErrorKind::kPlatform, "cannot listen at " + path.string() + ": " + why};
  };
  if (draft.native().size() >= sizeof(sockaddr_un::sun_path)) return refused("the path is too long");
  auto impl = std::make_shared<Impl>(io, path, std::move(job_id), std::move(on_asked));
  boost::system::error_code error;
  impl->acceptor.open(stream_protocol(), error);
  if (!error) impl->acceptor.bind(stream_protocol::endpoint(draft.native()), error);
  if (error) return refused(error.message());
  if (chmod(draft.c_str(), 0600) != 0) error.assign(errno, boost::system::system_category());
  if (!error) impl->acceptor.listen(boost::asio::socket_base::max_listen_connections, error);
  if (!error && rename(draft.c_str(), path.c_str()) != 0) error.assign(errno, boost::system::system_category());
  if (!error) {
    impl->accept();
    return std::unique_ptr<StatusSocket>(new StatusSocket(std::move(impl)));
  }
  unlink(draft.c_str());
  return refused(error.message());
}

StatusSocket::StatusSocket(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

StatusSocket::~StatusSocket() {
  boost::system::error_code ignored;
  impl_->acceptor.close(ignored);
  impl_->pause.cancel();
  impl_->asking.clear();
  unlink(impl_->path.c_str());
}

void StatusSocket::answer(uint32_t id, const std::string& status) { impl_->answer(id, status); }

namespace {

class Connection {
 public:
  // 0, or the error.
  int connect_to(const fs::path& path) const {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (path.native().size() >= sizeof address.sun_path) return ENAMETOOLONG;
    std::memcpy(address.sun_path, path.c_str(), path.native().size() + 1);
    return connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
  }

  // Up to its end; what has come by the deadline.
  std::string read_all(TimePoint deadline) const {
    std::string text;
    std::array<char, 65536> bytes{};
    while (text.size() < kLongestAnswer) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - monotonic_now());
      pollfd readable = {fd_.get(), POLLIN, 0};
      if (left.count() <= 0 || poll(&readable, 1, static_cast<int>(left.count())) <= 0) break;
      const ssize_t length = recv(fd_.get(), bytes.data(), bytes.size(), 0);
      if (length <= 0) break;
      text.append(bytes.data(), static_cast<size_t>(length));
    }
    return text;
  }

 private:
  const UniqueFd fd_{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
};

std::optional<AgentStatus> parse_answer(const std::string& text) {
  const json answer = json::parse(text, nullptr, false);
  if (!answer.is_object() || !answer.contains("status")) return std::nullopt;
  const json job = answer.value("job", json());
  const json agent = answer.value("agent", json());
  if (!job.is_string() || !agent.is_number_integer()) return std::nullopt;
  std::string status = json_text(answer["status"]);
  if (!job_status_from_json(status)) return std::nullopt;
  return AgentStatus{job.get<std::string>(), agent.get<int>(), std::move(status)};
}

bool is_status_socket(const fs::directory_entry& entry) {
  const std::string name = entry.path().filename().string();
  return name.starts_with(kSocketPrefix) && name.ends_with(kSocketSuffix);
}

}  // namespace

AgentAnswers ask_agents(const std::vector<fs::path>& folders, Duration patience) {
  AgentAnswers found;
  for (const fs::path& folder : folders) {
    struct stat there {};
    if (lstat(folder.c_str(), &there) != 0) continue;
    if (const Status trusted = check_runtime_folder(folder); !trusted) {
      found.refused.push_back(trusted.error().message);
      continue;
    }
    std::error_code none;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, none)) {
      if (!is_status_socket(entry)) continue;
      const Connection connection;
      const int error = connection.connect_to(entry.path());
      if (error == ECONNREFUSED) unlink(entry.path().c_str());
      if (error != 0) continue;
      const std::string text = connection.read_all(monotonic_now() + patience);
      if (std::optional<AgentStatus> status = parse_answer(text)) {
        found.agents.push_back(std::move(*status));
      } else if (!text.empty()) {  // without a word: it ends
        found.refused.push_back("what " + entry.path().string() + " answers is no status");
      }
    }
  }
  return found;
}

}  // namespace ferrun
