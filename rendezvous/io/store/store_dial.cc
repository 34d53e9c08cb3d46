#include "rendezvous/io/store/store_dial.h"

#include <algorithm>
#include <array>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <optional>
#include <utility>

#include "common/backoff.h"
#include "rendezvous/io/net/local_addresses.h"
#include "rendezvous/io/net/socket_address.h"
#include "rendezvous/io/net/tcp_dial.h"
#include "rendezvous/store/store_codec.h"

namespace ferrun {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr Duration kFirstDialPause = std::chrono::milliseconds(20);
constexpr Duration kMostDialPause = std::chrono::milliseconds(500);
// What a preferred address gets beyond the time that the first answer took.
constexpr Duration kHeadStart = std::chrono::milliseconds(5);
// In the question, to be seen in the answer; not the beginning of the question itself.
constexpr uint32_t kNonce = 0x6e757266;

std::string question() {
  std::string bytes;
  append_byte(bytes, static_cast<uint8_t>(StoreOp::kValidate));
  append_u32(bytes, kStoreMagic);
  append_byte(bytes, static_cast<uint8_t>(StoreOp::kPing));
  append_u32(bytes, kNonce);
  return bytes;
}

std::string answer() {
  std::string bytes;
  append_u32(bytes, kNonce);
  return bytes;
}

// One address: connect, ask, compare the answer; again after a pause when that failed.
class Attempt : public std::enable_shared_from_this<Attempt> {
 public:
  using OnChange = std::function<void()>;

  Attempt(boost::asio::io_context& io, std::string text, IpAddress address, uint16_t port, Duration patience)
      : io_(io),
        text_(std::move(text)),
        address_(std::move(address)),
        port_(port),
        patience_(patience),
        pause_(io),
        backoff_(kFirstDialPause, kMostDialPause) {}

  void start(OnChange on_change) {
    on_change_ = std::move(on_change);
    dial();
  }

  void cancel() {
    on_change_ = nullptr;
    if (dial_) dial_->cancel();
    pause_.cancel();
    error_code ignored;
    if (socket_) socket_->close(ignored);
  }

  bool reached() const { return local_.has_value(); }
  bool undecided() const { return !reached() && failure_.empty(); }
  const std::string& text() const { return text_; }
  const IpAddress& local() const { return *local_; }
  std::string outcome() const {
    return to_string(address_, port_) + " " + (failure_.empty() ? "did not answer" : failure_);
  }

 private:
  void dial() {
    dial_ = TcpDial::start(io_, address_, port_, patience_,
                           [self = shared_from_this()](const error_code& error, tcp::socket socket) {
                             if (error) return self->failed(dial_failure(error));
                             self->ask(std::move(socket));
                           });
  }

  void ask(tcp::socket socket) {
    socket_.emplace(std::move(socket));
    error_code error;
    const tcp::endpoint local = socket_->local_endpoint(error);
    if (error) return failed(dial_failure(error));
    boost::asio::async_write(*socket_, boost::asio::buffer(question_),
                             [self = shared_from_this()](const error_code&, size_t) {});
    boost::asio::async_read(
        *socket_, boost::asio::buffer(reply_),
        [self = shared_from_this(), local](const error_code& failure, size_t) { self->answered(failure, local); });
  }

  void answered(const error_code& error, const tcp::endpoint& local) {
    if (!on_change_) return;
    const bool right = !error && std::equal(reply_.begin(), reply_.end(), answer().begin());
    if (!right)
      return failed(error ? "is there but ended the connection (it may not admit this node)"
                          : "is there but is no store");
    error_code ignored;
    socket_->close(ignored);
    local_ = ip_address_of(local.address());
    on_change_();
  }

  void failed(std::string why) {
    if (!on_change_) return;
    failure_ = std::move(why);
    pause_.expires_after(backoff_.next());
    pause_.async_wait([self = shared_from_this()](const error_code& error) {
      if (!error && self->on_change_) self->dial();
    });
    on_change_();
  }

  boost::asio::io_context& io_;
  std::string text_;
  IpAddress address_;
  uint16_t port_;
  Duration patience_;
  boost::asio::steady_timer pause_;
  Backoff backoff_;
  OnChange on_change_;  // none once cancelled
  std::shared_ptr<TcpDial> dial_;
  std::optional<tcp::socket> socket_;
  const std::string question_ = question();
  std::array<char, 4> reply_{};
  std::optional<IpAddress> local_;  // set when it was reached
  std::string failure_;             // of the newest try that failed
};

}  // namespace

struct StoreDial::State : std::enable_shared_from_this<State> {
  State(boost::asio::io_context& io, OnDone given) : on_done(std::move(given)), limit(io), head_start(io) {}

  void start(boost::asio::io_context& io, const std::vector<std::string>& addresses, uint16_t port, Duration patience) {
    begun = Clock::now();
    for (const std::string& text : addresses) {
      const std::optional<IpAddress> address = parse_ip_address(text);
      if (address) attempts.push_back(std::make_shared<Attempt>(io, text, *address, port, patience));
    }
    limit.expires_after(attempts.empty() ? Duration(0) : patience);
    limit.async_wait([self = shared_from_this()](const error_code& error) {
      if (!error) self->give_up();
    });
    for (const auto& attempt : attempts) {
      attempt->start([weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->look();
      });
    }
  }

  // The first attempt that is reached wins, unless one before it is undecided and its head start runs.
  void look() {
    const auto reached = [](const auto& attempt) { return attempt->reached(); };
    const auto first = std::find_if(attempts.begin(), attempts.end(), reached);
    if (first == attempts.end() || !on_done) return;
    const bool alone = std::none_of(attempts.begin(), first, [](const auto& a) { return a->undecided(); });
    if (alone || head_start_over) return succeed(**first);
    if (head_start_runs) return;
    head_start_runs = true;
    head_start.expires_after(kHeadStart + 2 * (Clock::now() - begun));
    head_start.async_wait([self = shared_from_this()](const error_code& error) {
      if (error) return;
      self->head_start_over = true;
      self->look();
    });
  }

  void succeed(const Attempt& winner) {
    finish(StoreRoute{winner.text(), to_string(winner.local()), interface_of(winner.local(), local_addresses())});
  }

  void give_up() {
    std::string tried;
    for (const auto& attempt : attempts) tried += (tried.empty() ? "" : "; ") + attempt->outcome();
    if (attempts.empty()) tried = "there is no numeric address of it";
    finish(Error{ErrorKind::kPlatform, "the store cannot be reached: " + tried});
  }

  void finish(Result<StoreRoute> result) {
    const OnDone tell = std::exchange(on_done, nullptr);
    cancel();
    if (tell) tell(std::move(result));
  }

  void cancel() {
    on_done = nullptr;
    limit.cancel();
    head_start.cancel();
    for (const auto& attempt : attempts) attempt->cancel();
  }

  OnDone on_done;  // none once done
  std::vector<std::shared_ptr<Attempt>> attempts;
  boost::asio::steady_timer limit;
  boost::asio::steady_timer head_start;
  bool head_start_runs = false;
  bool head_start_over = false;
  Clock::time_point begun;
};

std::shared_ptr<StoreDial> StoreDial::start(boost::asio::io_context& io, const std::vector<std::string>& addresses,
                                            uint16_t port, Duration patience, OnDone on_done) {
  auto state = std::make_shared<State>(io, std::move(on_done));
  state->start(io, addresses, port, patience);
  return std::shared_ptr<StoreDial>(new StoreDial(std::move(state)));
}

StoreDial::StoreDial(std::shared_ptr<State> state) : state_(std::move(state)) {}

void StoreDial::cancel() { state_->cancel(); }

}  // namespace ferrun
