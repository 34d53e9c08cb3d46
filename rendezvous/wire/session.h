// One connection between an agent (or a program that only asks) and the coordinator of its job: handshake, then
// messages that nobody on the way can forge, repeat, reorder or leave out. PROTOCOL.md has every byte.
//
//   client                                    server
//   magic, Hello    ───────────────────────►
//                   ◄───────────────────────  magic, Challenge (or Refuse: version, job)
//   Proof, messages ───────────────────────►  (or Refuse: token)
//                   ◄───────────────────────  messages
//
// A client that has no token may ask for it wrapped, such that only who shall have it can unwrap it (munge(7) on
// clusters). Whoever cannot learns nothing, and the server has to prove that token as any other.
//
// Pure: bytes in, events out; bytes to send are appended to a string of the caller's. Random nonces and the time are
// passed in. The caller moves the bytes, ends a handshake that takes longer than kHandshakeTime, and closes the
// connection once a session has ended and its last bytes are sent. One thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/time.h"
#include "rendezvous/job/token_bucket.h"
#include "rendezvous/wire/frame_codec.h"
#include "rendezvous/wire/frame_seal.h"
#include "rendezvous/wire/handshake.h"
#include "rendezvous/wire/messages.h"

namespace ferrun {

inline constexpr Duration kHandshakeTime = std::chrono::seconds(5);

// Why a session has ended, other than by the connection.
struct SessionEnd {
  enum class Why {
    kForeign,  // the peer does not speak this protocol at all
    kVersion,  // by name, from here on: trying again will not help while both stay as they are
    kOtherJob,
    kToken,
    kProtocol,  // it broke a rule or a limit, or somebody on the way changed its bytes
  };
  Why why = Why::kProtocol;
  std::string line;  // the second half of a sentence about the peer: "it has another job token (…)"
};

enum class SessionOutcome {
  kNeedMore,       // all complete frames are handled
  kWrapped,        // once, at a client that asked for it: see wrapped_token(); nothing more comes before unwrapped()
  kAuthenticated,  // once: the peer has proven that it knows the token; messages may be sent
  kMessage,        // `message` is set
  kEnded,          // see end(); what was appended is still to be sent, then the connection to be closed. It stays so
};

// What one peer may send: more than an agent with the shortest heartbeat interval (1 ms) does. The burst covers what
// piles up while the receiver stands still.
struct SessionLimits {
  size_t frame_bytes;
  double frames_per_second;
  double frame_burst;
};
inline constexpr SessionLimits kMemberLimits{kMemberFrameLimit, 2000, 20000};
inline constexpr SessionLimits kCoordinatorLimits{kCoordinatorFrameLimit, 2000, 20000};

// What both sides have in common.
class Session {
 public:
  // The next bytes of the stream. They have to stay in place until next() has returned kNeedMore or kEnded.
  void feed(std::string_view bytes) { reader_.feed(bytes); }

  // Appends one message, as encode() made it; the same bytes may be sent through many sessions. Only while
  // authenticated().
  void send(std::string_view encoded, std::string& out) { seal_->seal(encoded, out); }

  bool authenticated() const { return seal_.has_value() && !end_; }
  bool ended() const { return end_.has_value(); }
  // Only once ended.
  const SessionEnd& end() const { return *end_; }
  // What is held between calls of next(), for limits and tests.
  size_t held_bytes() const { return reader_.held_bytes(); }

 protected:
  enum class Input { kHandshake, kContent, kNeedMore, kEnded };

  Session(std::shared_ptr<const JobSecret> job, const SessionLimits& limits)
      : job_(std::move(job)), limits_(limits), rate_(limits.frames_per_second, limits.frame_burst) {}
  ~Session() = default;

  // The next frame: one of the handshake, or the content of a sealed one.
  Input read(std::string_view& content, TimePoint now);
  void begin_sealed(const HmacDigest& session_key, FrameSeal::Side self);
  SessionOutcome finish(SessionEnd::Why why, std::string line);

  std::shared_ptr<const JobSecret> job_;

 private:
  FrameReader reader_;
  SessionLimits limits_;
  TokenBucket rate_;
  std::optional<FrameSeal> seal_;
  std::optional<SessionEnd> end_;
};

// The agent's side.
class ClientSession : public Session {
 public:
  enum class Token : bool { kKnown, kWrapped };

  // Appends the first bytes to `out`. `nonce` has to be random and new.
  ClientSession(std::shared_ptr<const JobSecret> job, SessionRole role, AgentId agent, const Nonce& nonce,
                std::string& out, Token token = Token::kKnown, const SessionLimits& limits = kCoordinatorLimits);

  SessionOutcome next(CoordinatorMessage& message, TimePoint now, std::string& out);

  // After kWrapped, and until unwrapped(). What the server hands out.
  const std::string& wrapped_token() const { return challenge_->wrapped_token; }
  // What was in it: goes on with that secret, as next() would have. kAuthenticated or kEnded.
  SessionOutcome unwrapped(std::shared_ptr<const JobSecret> job, std::string& out);

 private:
  SessionOutcome handshake(std::string_view frame, std::string& out);
  SessionOutcome answer(const Challenge& challenge, std::string& out);
  SessionOutcome refused(const Refusal& refusal);

  Greeting greeting_;
  std::unique_ptr<Challenge> challenge_;  // between kWrapped and unwrapped()
};

// The coordinator's side.
class ServerSession : public Session {
 public:
  // `nonce` has to be random and new. The server sends nothing before the client has.
  ServerSession(std::shared_ptr<const JobSecret> job, const Nonce& nonce, const SessionLimits& limits = kMemberLimits);

  SessionOutcome next(MemberMessage& message, TimePoint now, std::string& out);

  // Of the peer, once authenticated. A status client may only ask for the status, a probe may say nothing.
  SessionRole role() const { return greeting_.role; }
  AgentId agent() const { return greeting_.agent; }

 private:
  // kNeedMore: the handshake goes on.
  SessionOutcome handshake(std::string_view frame, std::string& out);
  SessionOutcome hello(std::string_view frame, std::string& out);
  SessionOutcome proof(std::string_view frame, std::string& out);
  SessionOutcome refuse(RefusalReason reason, SessionEnd::Why why, std::string line, std::string& out);
  bool may_say(const MemberMessage& message) const;

  Greeting greeting_;
  Challenge challenge_;
  bool greeted_ = false;
};

}  // namespace ferrun
