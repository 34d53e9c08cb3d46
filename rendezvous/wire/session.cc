#include "rendezvous/wire/session.h"

#include "common/printable_text.h"
#include "rendezvous/wire/message_codec.h"

namespace ferrun {
namespace {

using Outcome = SessionOutcome;
using Why = SessionEnd::Why;

constexpr const char* kForged =
    "one of its frames is not what was to come next: it was changed, repeated, left out or reordered on the way";

std::string version_line(unsigned theirs) {
  return "it speaks version " + std::to_string(theirs) + " of ferrun's protocol, and this ferrun speaks version " +
         std::to_string(kProtocolVersion);
}

std::string job_line(const std::string& theirs, const std::string& own) {
  return "it belongs to job '" + printable(theirs) + "', and this is job '" + printable(own) + "' (--rdzv-id)";
}

std::string token_line(bool theirs, bool own) {
  std::string line = "it has another job token";
  if (!theirs) line = "it has no job token, and there is one here";
  if (!own) line = "it has a job token, and there is none here";
  return line + " (--token-file or FERRUN_TOKEN)";
}

std::string too_fast_line(const SessionLimits& limits) {
  return "it sent more than " + std::to_string(static_cast<int64_t>(limits.frames_per_second)) + " messages a second";
}

}  // namespace

Session::Input Session::read(std::string_view& content, TimePoint now) {
  if (end_) return Input::kEnded;
  std::string_view frame;
  switch (reader_.next(frame)) {
    case FrameReader::Outcome::kNeedMore: return Input::kNeedMore;
    case FrameReader::Outcome::kForeign: finish(Why::kForeign, reader_.refusal()); return Input::kEnded;
    case FrameReader::Outcome::kRefused: finish(Why::kProtocol, reader_.refusal()); return Input::kEnded;
    case FrameReader::Outcome::kFrame: break;
  }
  content = frame;
  if (!seal_) return Input::kHandshake;
  const auto opened = seal_->open(frame);
  if (!opened) {
    finish(Why::kProtocol, kForged);
    return Input::kEnded;
  }
  if (!rate_.take(now)) {
    finish(Why::kProtocol, too_fast_line(limits_));
    return Input::kEnded;
  }
  content = *opened;
  return Input::kContent;
}

void Session::begin_sealed(const HmacDigest& session_key, FrameSeal::Side self) {
  seal_.emplace(session_key, self);
  reader_.set_limit(limits_.frame_bytes);
}

Outcome Session::finish(Why why, std::string line) {
  end_ = SessionEnd{why, std::move(line)};
  return Outcome::kEnded;
}

ClientSession::ClientSession(std::shared_ptr<const JobSecret> job, SessionRole role, AgentId agent, const Nonce& nonce,
                             std::string& out, Token token, const SessionLimits& limits)
    : Session(std::move(job), limits),
      greeting_{kProtocolVersion, role, job_->has_token, token == Token::kWrapped, agent, nonce, job_->id} {
  out.append(kStreamMagic);
  append_hello(out, greeting_);
}

Outcome ClientSession::next(CoordinatorMessage& message, TimePoint now, std::string& out) {
  std::string_view content;
  switch (read(content, now)) {
    case Input::kNeedMore: return Outcome::kNeedMore;
    case Input::kEnded: return Outcome::kEnded;
    case Input::kHandshake: return handshake(content, out);
    case Input::kContent: break;
  }
  Result<CoordinatorMessage> decoded = decode_coordinator_message(content);
  if (!decoded.ok()) return finish(Why::kProtocol, "it " + decoded.error().message);
  message = std::move(*decoded);
  return Outcome::kMessage;
}

Outcome ClientSession::handshake(std::string_view frame, std::string& out) {
  if (const auto refusal = read_refusal(frame)) return refused(*refusal);
  if (challenge_) return finish(Why::kProtocol, "it went on before its Challenge was answered");
  auto challenge = read_challenge(frame, greeting_.unwraps);
  if (!challenge) return finish(Why::kProtocol, "it answered the Hello with something else than a Challenge");
  if (challenge->wrapped_token.empty()) return answer(*challenge, out);
  challenge_ = std::make_unique<Challenge>(*std::move(challenge));
  return Outcome::kWrapped;
}

Outcome ClientSession::unwrapped(std::shared_ptr<const JobSecret> job, std::string& out) {
  if (ended()) return Outcome::kEnded;
  job_ = std::move(job);
  return answer(*std::exchange(challenge_, nullptr), out);
}

Outcome ClientSession::answer(const Challenge& challenge, std::string& out) {
  const HmacDigest expected = derive(Purpose::kServerProof, job_->key, greeting_, challenge);
  if (!same_mac(bytes_of(expected), bytes_of(challenge.proof))) {
    append_refusal(out, RefusalReason::kToken, *job_);
    return finish(Why::kToken, token_line(challenge.has_token, job_->has_token));
  }
  append_proof(out, derive(Purpose::kClientProof, job_->key, greeting_, challenge));
  begin_sealed(derive(Purpose::kSessionKey, job_->key, greeting_, challenge), FrameSeal::Side::kClient);
  return Outcome::kAuthenticated;
}

Outcome ClientSession::refused(const Refusal& refusal) {
  switch (refusal.reason) {
    case RefusalReason::kVersion: return finish(Why::kVersion, version_line(refusal.version));
    case RefusalReason::kOtherJob: return finish(Why::kOtherJob, job_line(refusal.job_id, job_->id));
    case RefusalReason::kToken: break;
  }
  return finish(Why::kToken, token_line(refusal.has_token, job_->has_token));
}

ServerSession::ServerSession(std::shared_ptr<const JobSecret> job, const Nonce& nonce, const SessionLimits& limits)
    : Session(std::move(job), limits) {
  challenge_.has_token = job_->has_token;
  challenge_.nonce = nonce;
}

Outcome ServerSession::next(MemberMessage& message, TimePoint now, std::string& out) {
  std::string_view content;
  while (true) {
    const Input input = read(content, now);
    if (input == Input::kNeedMore) return Outcome::kNeedMore;
    if (input == Input::kEnded) return Outcome::kEnded;
    if (input == Input::kContent) break;
    if (const Outcome outcome = handshake(content, out); outcome != Outcome::kNeedMore) return outcome;
  }
  Result<MemberMessage> decoded = decode_member_message(content);
  if (!decoded.ok()) return finish(Why::kProtocol, "it " + decoded.error().message);
  if (!may_say(*decoded)) return finish(Why::kProtocol, "it takes no part in the job, and sent a message of an agent");
  message = std::move(*decoded);
  return Outcome::kMessage;
}

Outcome ServerSession::handshake(std::string_view frame, std::string& out) {
  return std::exchange(greeted_, true) ? proof(frame, out) : hello(frame, out);
}

Outcome ServerSession::hello(std::string_view frame, std::string& out) {
  auto greeting = read_hello(frame);
  if (!greeting) return finish(Why::kProtocol, "its first frame is no Hello");
  out.append(kStreamMagic);
  if (greeting->version != kProtocolVersion)
    return refuse(RefusalReason::kVersion, Why::kVersion, version_line(greeting->version), out);
  if (greeting->job_id != job_->id)
    return refuse(RefusalReason::kOtherJob, Why::kOtherJob, job_line(greeting->job_id, job_->id), out);
  greeting_ = *std::move(greeting);
  challenge_.proof = derive(Purpose::kServerProof, job_->key, greeting_, challenge_);
  if (greeting_.unwraps) challenge_.wrapped_token = job_->wrapped_token;
  append_challenge(out, challenge_, greeting_.unwraps);
  challenge_.wrapped_token = std::string();
  return Outcome::kNeedMore;
}

Outcome ServerSession::proof(std::string_view frame, std::string& out) {
  const std::string wrong_token = token_line(greeting_.has_token, job_->has_token);
  if (const auto refusal = read_refusal(frame); refusal && refusal->reason == RefusalReason::kToken)
    return finish(Why::kToken, wrong_token);
  const auto given = read_proof(frame);
  if (!given) return finish(Why::kProtocol, "it answered the Challenge with something else than a Proof");
  const HmacDigest expected = derive(Purpose::kClientProof, job_->key, greeting_, challenge_);
  if (!same_mac(bytes_of(expected), *given)) return refuse(RefusalReason::kToken, Why::kToken, wrong_token, out);
  begin_sealed(derive(Purpose::kSessionKey, job_->key, greeting_, challenge_), FrameSeal::Side::kServer);
  greeting_.job_id = std::string();
  return Outcome::kAuthenticated;
}

Outcome ServerSession::refuse(RefusalReason reason, Why why, std::string line, std::string& out) {
  append_refusal(out, reason, *job_);
  return finish(why, std::move(line));
}

bool ServerSession::may_say(const MemberMessage& message) const {
  return role() == SessionRole::kMember ||
         (role() == SessionRole::kStatus && std::holds_alternative<StatusRequest>(message));
}

}  // namespace ferrun
