// The four frames with which a session begins, as values and as bytes, and the proofs in them. PROTOCOL.md has every
// byte. Pure; part of session.h, which decides when which one is due.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "rendezvous/job/ids.h"
#include "rendezvous/wire/hmac.h"

namespace ferrun {

inline constexpr uint16_t kProtocolVersion = 1;
// A longer id does not fit into the first frame.
inline constexpr size_t kMaxJobIdBytes = 512;
// A longer one does not fit into the Challenge.
inline constexpr size_t kMaxWrappedTokenBytes = 640;

using Nonce = std::array<unsigned char, 16>;

enum class SessionRole : uint8_t {
  kMember = 1,  // an agent that takes part
  kStatus,      // asks for the state of the job
  kProbe,       // only wants to know whether a session comes up
};

// What both sides of every session of one job have to have in common; one for all of them.
struct JobSecret {
  // `id`: at most kMaxJobIdBytes. No token is the empty one. `wrapped`: see Challenge.
  JobSecret(std::string job_id, std::string_view token, std::string wrapped = {})
      : id(std::move(job_id)), has_token(!token.empty()), key(token), wrapped_token(std::move(wrapped)) {}
  std::string id;
  bool has_token;
  HmacKey key;
  std::string wrapped_token;
};

// Client to server, the first frame. What follows the version may change with the version.
struct Greeting {
  uint16_t version = kProtocolVersion;
  SessionRole role = SessionRole::kMember;
  bool has_token = false;
  bool unwraps = false;  // wants the token wrapped
  AgentId agent;
  Nonce nonce{};
  std::string job_id;
};

// Server to client: proves that it knows the token.
struct Challenge {
  bool has_token = false;
  Nonce nonce{};
  HmacDigest proof{};
  // The token, such that only who shall have it can read it. Sent where the client wants one; empty: there is none. At
  // most kMaxWrappedTokenBytes.
  std::string wrapped_token = {};
};

enum class RefusalReason : uint8_t { kVersion = 1, kOtherJob, kToken };

// From either side, in place of what was due. The same in all versions.
struct Refusal {
  RefusalReason reason = RefusalReason::kVersion;
  uint16_t version = kProtocolVersion;  // of the sender, as the rest
  bool has_token = false;
  std::string job_id;
};

// The first byte of a frame. Those of messages begin at 16.
enum class HandshakeKind : uint8_t { kHello = 1, kChallenge, kProof, kRefuse };

// Each appends one frame with its size. `with_wrapped`: the client wants the token wrapped.
void append_hello(std::string& out, const Greeting& greeting);
void append_challenge(std::string& out, const Challenge& challenge, bool with_wrapped);
void append_proof(std::string& out, const HmacDigest& proof);
void append_refusal(std::string& out, RefusalReason reason, const JobSecret& own);

// None when the frame is not exactly one of that kind. A Hello of another version is read as far as its version.
std::optional<Greeting> read_hello(std::string_view frame);
std::optional<Challenge> read_challenge(std::string_view frame, bool with_wrapped);
std::optional<std::string_view> read_proof(std::string_view frame);
std::optional<Refusal> read_refusal(std::string_view frame);

// What the token's key makes of everything that was said: three values, none of which gives another one away.
enum class Purpose { kServerProof, kClientProof, kSessionKey };
HmacDigest derive(Purpose purpose, const HmacKey& token, const Greeting& greeting, const Challenge& challenge);

}  // namespace ferrun
