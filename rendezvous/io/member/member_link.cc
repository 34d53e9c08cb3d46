#include "rendezvous/io/member/member_link.h"

#include <fcntl.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

#include "common/backoff.h"
#include "common/io/clock.h"
#include "rendezvous/io/net/detached_task.h"
#include "rendezvous/io/net/random_bytes.h"
#include "rendezvous/io/net/session_connection.h"
#include "rendezvous/io/net/tcp_dial.h"
#include "rendezvous/member/dial_journal.h"
#include "rendezvous/wire/message_codec.h"

namespace ferrun {

using boost::asio::ip::tcp;
using boost::system::error_code;

namespace {

// An agent that starts before the coordinator does reaches it soon after; later attempts are no burden.
constexpr Duration kFirstPause = std::chrono::milliseconds(10);
constexpr Duration kMostPause = std::chrono::seconds(1);
// Room for one lost packet; then a fresh attempt gets through sooner than the kernel's next try.
constexpr Duration kConnectTime = std::chrono::seconds(2);
constexpr Duration kTimeToHangUp = std::chrono::seconds(1);
constexpr Duration kLookUpAgain = std::chrono::seconds(5);

// A connection in its handshake or after it.
class LinkPeer final : public SessionConnection {
 public:
  LinkPeer(tcp::socket socket, Owner& owner, const MemberLink::Options& options, IpAddress to)
      : SessionConnection(std::move(socket), owner),
        address(std::move(to)),
        session(options.secret, options.role, options.agent, random_nonce(), outbox(),
                options.unwrap ? ClientSession::Token::kWrapped : ClientSession::Token::kKnown) {}

  const IpAddress address;
  ClientSession session;
};

// One address: dialled, greeted, and after a failure and a pause dialled again.
struct Attempt {
  Attempt(boost::asio::io_context& io, IpAddress to) : address(std::move(to)), timer(io) {}
  ~Attempt() { stop(); }

  void stop() {
    timer.cancel();
    if (dial) dial->cancel();
    if (peer) peer->reset();
    if (unwrapping) unwrapping->abandon();
    dial.reset();
    peer.reset();
    unwrapping.reset();
  }

  const IpAddress address;
  Backoff backoff{kFirstPause, kMostPause};
  boost::asio::steady_timer timer;  // of the handshake, or of the pause
  std::shared_ptr<TcpDial> dial;
  std::shared_ptr<LinkPeer> peer;
  std::shared_ptr<DetachedTask> unwrapping;
  bool refused = false;  // the last time
};

}  // namespace

struct MemberLink::Impl final : SessionConnection::Owner, std::enable_shared_from_this<Impl> {
  Impl(boost::asio::io_context& io_context, Options given, Callbacks given_callbacks)
      : io(io_context),
        options(std::move(given)),
        callbacks(std::move(given_callbacks)),
        journal(options.endpoint),
        timer(io_context) {}

  // --- attempts ---

  void dial() {
    if (live) std::exchange(live, nullptr)->reset();
    if (leaving) std::exchange(leaving, nullptr)->close();
    hanging_up = false;
    stop_attempts();
    journal = DialJournal(options.endpoint);
    dialling = true;
    if (!options.here.empty()) return try_addresses(options.here);
    if (!resolver) make_resolver();
    resolver->start();
  }

  void make_resolver() {
    const auto answered = [weak = weak_from_this()](const NameAnswer& answer) {
      const auto self = weak.lock();
      if (self && self->dialling) self->answered(answer);
    };
    resolver = Resolver::make(io, options.endpoint.host, answered, options.look_up);
  }

  void answered(const NameAnswer& answer) {
    if (answer.addresses.empty()) {
      if (!attempts.empty()) return;  // those that it had before are tried on
      journal.not_resolved(answer.error, boottime_now());
      return tell_note();
    }
    try_addresses(answer.addresses);
  }

  void try_addresses(const std::vector<IpAddress>& addresses) {
    journal.resolved(addresses);
    const auto listed = [&](const IpAddress& a) { return std::find(addresses.begin(), addresses.end(), a); };
    std::erase_if(attempts, [&](const auto& attempt) { return listed(attempt->address) == addresses.end(); });
    for (const IpAddress& address : addresses) {
      const auto tried = [&](const auto& attempt) { return attempt->address == address; };
      if (std::any_of(attempts.begin(), attempts.end(), tried)) continue;
      attempts.push_back(std::make_shared<Attempt>(io, address));
      connect(attempts.back());
    }
    timer.expires_after(kLookUpAgain);
    timer.async_wait([weak = weak_from_this()](const error_code& error) {
      const auto self = weak.lock();
      if (!error && self && self->dialling && self->resolver) self->resolver->start();
    });
  }

  void connect(const std::shared_ptr<Attempt>& attempt) {
    attempt->dial = TcpDial::start(
        io, attempt->address, options.endpoint.port, kConnectTime,
        [weak = weak_from_this(), weak_attempt = std::weak_ptr(attempt)](const error_code& error, tcp::socket socket) {
          const auto self = weak.lock();
          const auto dialled = weak_attempt.lock();
          if (!self || !dialled) return;
          dialled->dial.reset();
          dialled->refused = error == boost::asio::error::connection_refused;
          if (error) return self->failed(*dialled, dial_failure(error));
          self->greet(*dialled, std::move(socket));
        },
        options.from ? &*options.from : nullptr);
  }

  void greet(Attempt& attempt, tcp::socket socket) {
    watch_for_vanished_peer(socket.native_handle());
    attempt.peer = std::make_shared<LinkPeer>(std::move(socket), *this, options, attempt.address);
    attempt.peer->flush();
    attempt.peer->start();
    after(attempt, kHandshakeTime, [this](Attempt& waiting) { failed(waiting, "did not answer the handshake"); });
  }

  template <typename Then>
  void after(Attempt& attempt, Duration time, Then then) {
    attempt.timer.expires_after(time);
    attempt.timer.async_wait([weak = weak_from_this(), address = attempt.address, then](const error_code& error) {
      const auto self = weak.lock();
      if (error || !self) return;
      if (const auto found = self->attempt_of(address)) then(*found);
    });
  }

  std::shared_ptr<Attempt> attempt_of(const IpAddress& address) {
    for (const auto& attempt : attempts) {
      if (attempt->address == address) return attempt;
    }
    return nullptr;
  }

  void failed(Attempt& attempt, const std::string& what) {
    journal.failed(attempt.address, what, boottime_now());
    pause(attempt);
    if (callbacks.refused && std::ranges::all_of(attempts, [](const auto& each) { return each->refused; })) {
      callbacks.refused();
    }
  }

  void turned_away(Attempt& attempt, const std::string& line) {
    journal.turned_away(attempt.address, line, boottime_now());
    pause(attempt);
  }

  void pause(Attempt& attempt) {
    attempt.stop();
    after(attempt, attempt.backoff.next(), [this](Attempt& rested) { connect(attempt_of(rested.address)); });
    tell_note();
  }

  void tell_note() {
    const std::optional<DialNote> note = journal.take_note(boottime_now());
    if (note && callbacks.note) callbacks.note(*note);
  }

  void stop_attempts() {
    dialling = false;
    timer.cancel();
    if (resolver) resolver->stop();
    attempts.clear();
  }

  // --- connections ---

  void received(SessionConnection& connection, std::string_view bytes) override {
    const auto peer = std::static_pointer_cast<LinkPeer>(connection.shared_from_this());
    const auto self = shared_from_this();
    const TimePoint now = boottime_now();
    receiving = true;
    peer->session.feed(bytes);
    for (bool more = true; more && peer->open();) {
      CoordinatorMessage message;
      switch (peer->session.next(message, now, peer->outbox())) {
        case SessionOutcome::kNeedMore: more = false; break;
        case SessionOutcome::kWrapped: unwrap(peer); break;
        case SessionOutcome::kAuthenticated: authenticated(peer); break;
        case SessionOutcome::kMessage: said(peer, std::move(message)); break;
        case SessionOutcome::kEnded: ended(peer); break;
      }
    }
    receiving = false;
    peer->flush();
  }

  // Whoever unwraps may be slow: the handshake's time goes on.
  void unwrap(const std::shared_ptr<LinkPeer>& peer) {
    const auto attempt = attempt_of(peer->address);
    const auto token = std::make_shared<std::optional<Result<std::string>>>();
    auto task = DetachedTask::start(
        io, [token, unwrap = options.unwrap, wrapped = peer->session.wrapped_token()] { *token = unwrap(wrapped); },
        [weak = weak_from_this(), weak_peer = std::weak_ptr(peer), token] {
          const auto self = weak.lock();
          const auto waiting = weak_peer.lock();
          if (self && waiting && waiting->open()) self->unwrapped(waiting, **token);
        });
    if (!task) return failed(*attempt, task.error().message);
    attempt->unwrapping = *task;
  }

  void unwrapped(const std::shared_ptr<LinkPeer>& peer, const Result<std::string>& token) {
    const auto attempt = attempt_of(peer->address);
    attempt->unwrapping.reset();
    if (!token) return turned_away(*attempt, token.error().message);
    const auto secret = std::make_shared<const JobSecret>(options.secret->id, *token);
    if (peer->session.unwrapped(secret, peer->outbox()) != SessionOutcome::kAuthenticated) return ended(peer);
    authenticated(peer);
    peer->flush();
  }

  void authenticated(const std::shared_ptr<LinkPeer>& peer) {
    error_code refused;
    if (callbacks.share_connection) peer->socket().set_option(boost::asio::socket_base::linger(true, 0), refused);
    if (refused)
      return failed(*attempt_of(peer->address), "cannot be shared with the sentinel (SO_LINGER): " + refused.message());
    attempt_of(peer->address)->peer.reset();
    stop_attempts();
    live = peer;
    ++id;
    if (callbacks.share_connection) callbacks.share_connection(::fcntl(peer->native_handle(), F_DUPFD_CLOEXEC, 0));
    if (callbacks.reached) callbacks.reached({id, journal.where(peer->address)});
  }

  void said(const std::shared_ptr<LinkPeer>& peer, CoordinatorMessage message) {
    if (peer == live && callbacks.said) callbacks.said({id, std::move(message)});
  }

  void ended(const std::shared_ptr<LinkPeer>& peer) {
    const SessionEnd end = peer->session.end();
    peer->flush();
    if (peer == live) return lose(LossKind::kLocal, end.line);
    const auto attempt = attempt_of(peer->address);
    peer->finish();  // the other side names the same reason
    peer->close();
    attempt->peer.reset();
    if (end.why == SessionEnd::Why::kForeign || end.why == SessionEnd::Why::kProtocol) {
      failed(*attempt, "is no coordinator (" + end.line + ")");
    } else {
      turned_away(*attempt, end.line);
    }
  }

  void lost(SessionConnection& connection, LossKind kind, const std::string& why) override {
    const auto peer = std::static_pointer_cast<LinkPeer>(connection.shared_from_this());
    if (peer == leaving) return end_leaving();
    if (peer == live) return lose(kind, why);
    if (const auto attempt = attempt_of(peer->address)) {
      failed(*attempt, "ended the connection before it had answered");
    }
  }

  void lose(LossKind kind, const std::string& why) {
    std::exchange(live, nullptr)->reset();
    if (callbacks.gone) callbacks.gone({id, kind, why});
  }

  void tell(const MemberMessage& message) {
    if (!live) return;
    if (live->overfull()) return lose(LossKind::kLocal, "it does not read what it is sent");
    live->session.send(encode(message), live->outbox());
    if (!receiving) live->flush();
  }

  // --- the end ---

  void hang_up() {
    stop_attempts();
    hanging_up = true;
    leaving = std::exchange(live, nullptr);
    if (!leaving) return boost::asio::post(io, [self = shared_from_this()] { self->end_leaving(); });
    leaving->finish();
    timer.expires_after(kTimeToHangUp);
    timer.async_wait([weak = weak_from_this()](const error_code& error) {
      const auto self = weak.lock();
      if (!error && self) self->end_leaving();
    });
  }

  void end_leaving() {
    if (!std::exchange(hanging_up, false)) return;
    timer.cancel();
    if (leaving) std::exchange(leaving, nullptr)->close();
    if (callbacks.hung_up) callbacks.hung_up();
  }

  void close() {
    callbacks = {};
    stop_attempts();
    if (live) live->close();
    if (leaving) leaving->close();
  }

  boost::asio::io_context& io;
  const Options options;
  Callbacks callbacks;
  DialJournal journal;
  std::shared_ptr<Resolver> resolver;
  std::vector<std::shared_ptr<Attempt>> attempts;
  boost::asio::steady_timer timer;  // of the next look-up, or of the end
  bool dialling = false;
  std::shared_ptr<LinkPeer> live;
  std::shared_ptr<LinkPeer> leaving;
  bool hanging_up = false;
  ConnectionId id = 0;
  bool receiving = false;  // what is told meanwhile leaves together
};

MemberLink::MemberLink(boost::asio::io_context& io, Options options, Callbacks callbacks)
    : impl_(std::make_shared<Impl>(io, std::move(options), std::move(callbacks))) {}

MemberLink::~MemberLink() { impl_->close(); }

void MemberLink::dial() { impl_->dial(); }
void MemberLink::tell(const MemberMessage& message) { impl_->tell(message); }
void MemberLink::hang_up() { impl_->hang_up(); }

}  // namespace ferrun
