#include "rendezvous/wire/handshake.h"

#include <algorithm>

#include "rendezvous/wire/byte_codec.h"
#include "rendezvous/wire/frame_codec.h"

namespace ferrun {
namespace {

std::string_view bytes_of_nonce(const Nonce& nonce) {
  return {reinterpret_cast<const char*>(nonce.data()), nonce.size()};
}

// One frame: the kind, and what `fields` writes.
template <typename Fields>
void append_frame(std::string& out, HandshakeKind kind, Fields fields) {
  const size_t begin = out.size();
  out.append(kFrameHeaderBytes, '\0');
  ByteWriter writer(out);
  writer.integer(static_cast<uint8_t>(kind));
  fields(writer);
  std::string header;
  append_frame_header(header, out.size() - begin - kFrameHeaderBytes);
  out.replace(begin, header.size(), header);
}

bool read_kind(ByteReader& reader, HandshakeKind kind) {
  return reader.integer<uint8_t>("kind") == static_cast<uint8_t>(kind);
}

bool read_flag(ByteReader& reader) {
  const auto flag = reader.integer<uint8_t>("flag");
  if (flag > 1) reader.fail("has a flag of neither 0 nor 1");
  return flag == 1;
}

// What a client says of itself: bit 0, it has a token; bit 1, it wants it wrapped.
uint8_t flags_of(const Greeting& greeting) {
  return static_cast<uint8_t>((greeting.has_token ? 1 : 0) | (greeting.unwraps ? 2 : 0));
}

void read_flags(ByteReader& reader, Greeting& greeting) {
  const auto flags = reader.integer<uint8_t>("flags");
  if (flags > 3) reader.fail("has flags that nobody knows");
  greeting.has_token = (flags & 1) != 0;
  greeting.unwraps = (flags & 2) != 0;
}

std::string read_wrapped_token(ByteReader& reader) {
  const auto size = reader.integer<uint16_t>("wrapped token");
  if (size > kMaxWrappedTokenBytes) reader.fail("has too long a wrapped token");
  return std::string(reader.raw(size, "wrapped token"));
}

std::string read_job_id(ByteReader& reader) {
  const auto size = reader.integer<uint16_t>("job id");
  if (size > kMaxJobIdBytes) reader.fail("has too long a job id");
  return std::string(reader.raw(size, "job id"));
}

void write_job_id(ByteWriter& writer, const std::string& job_id) {
  writer.integer(static_cast<uint16_t>(job_id.size()));
  writer.raw(job_id);
}

template <typename Array>
void read_bytes(ByteReader& reader, Array& bytes) {
  const std::string_view read = reader.raw(bytes.size(), "bytes");
  std::copy(read.begin(), read.end(), bytes.begin());
}

template <typename Value>
std::optional<Value> whole(ByteReader& reader, Value value) {
  reader.finish();
  if (!reader.ok()) return std::nullopt;
  return value;
}

}  // namespace

void append_hello(std::string& out, const Greeting& greeting) {
  append_frame(out, HandshakeKind::kHello, [&](ByteWriter& writer) {
    writer.integer(greeting.version);
    writer.integer(static_cast<uint8_t>(greeting.role));
    writer.integer(flags_of(greeting));
    writer.integer(greeting.agent.value);
    writer.raw(bytes_of_nonce(greeting.nonce));
    write_job_id(writer, greeting.job_id);
  });
}

void append_challenge(std::string& out, const Challenge& challenge, bool with_wrapped) {
  append_frame(out, HandshakeKind::kChallenge, [&](ByteWriter& writer) {
    writer.integer(static_cast<uint8_t>(challenge.has_token));
    writer.raw(bytes_of_nonce(challenge.nonce));
    writer.raw(bytes_of(challenge.proof));
    if (!with_wrapped) return;
    writer.integer(static_cast<uint16_t>(challenge.wrapped_token.size()));
    writer.raw(challenge.wrapped_token);
  });
}

void append_proof(std::string& out, const HmacDigest& proof) {
  append_frame(out, HandshakeKind::kProof, [&](ByteWriter& writer) { writer.raw(bytes_of(proof)); });
}

void append_refusal(std::string& out, RefusalReason reason, const JobSecret& own) {
  append_frame(out, HandshakeKind::kRefuse, [&](ByteWriter& writer) {
    writer.integer(static_cast<uint8_t>(reason));
    writer.integer(kProtocolVersion);
    writer.integer(static_cast<uint8_t>(own.has_token));
    write_job_id(writer, own.id);
  });
}

std::optional<Greeting> read_hello(std::string_view frame) {
  ByteReader reader(frame);
  Greeting greeting;
  if (!read_kind(reader, HandshakeKind::kHello)) return std::nullopt;
  greeting.version = reader.integer<uint16_t>("version");
  if (reader.ok() && greeting.version != kProtocolVersion) return greeting;
  const auto role = reader.integer<uint8_t>("role");
  if (role < static_cast<uint8_t>(SessionRole::kMember) || role > static_cast<uint8_t>(SessionRole::kProbe))
    return std::nullopt;
  greeting.role = static_cast<SessionRole>(role);
  read_flags(reader, greeting);
  greeting.agent.value = reader.integer<uint64_t>("agent id");
  read_bytes(reader, greeting.nonce);
  greeting.job_id = read_job_id(reader);
  return whole(reader, std::move(greeting));
}

std::optional<Challenge> read_challenge(std::string_view frame, bool with_wrapped) {
  ByteReader reader(frame);
  Challenge challenge;
  if (!read_kind(reader, HandshakeKind::kChallenge)) return std::nullopt;
  challenge.has_token = read_flag(reader);
  read_bytes(reader, challenge.nonce);
  read_bytes(reader, challenge.proof);
  if (with_wrapped) challenge.wrapped_token = read_wrapped_token(reader);
  return whole(reader, std::move(challenge));
}

std::optional<std::string_view> read_proof(std::string_view frame) {
  ByteReader reader(frame);
  if (!read_kind(reader, HandshakeKind::kProof)) return std::nullopt;
  const std::string_view proof = reader.raw(HmacDigest().size(), "proof");
  return whole(reader, proof);
}

std::optional<Refusal> read_refusal(std::string_view frame) {
  ByteReader reader(frame);
  Refusal refusal;
  if (!read_kind(reader, HandshakeKind::kRefuse)) return std::nullopt;
  const auto reason = reader.integer<uint8_t>("reason");
  if (reason < static_cast<uint8_t>(RefusalReason::kVersion) || reason > static_cast<uint8_t>(RefusalReason::kToken))
    return std::nullopt;
  refusal.reason = static_cast<RefusalReason>(reason);
  refusal.version = reader.integer<uint16_t>("version");
  refusal.has_token = read_flag(reader);
  refusal.job_id = read_job_id(reader);
  return whole(reader, std::move(refusal));
}

HmacDigest derive(Purpose purpose, const HmacKey& token, const Greeting& greeting, const Challenge& challenge) {
  std::string said;
  ByteWriter writer(said);
  switch (purpose) {
    case Purpose::kServerProof: writer.raw("ferrun server"); break;
    case Purpose::kClientProof: writer.raw("ferrun client"); break;
    case Purpose::kSessionKey: writer.raw("ferrun sealed"); break;
  }
  writer.raw(bytes_of_nonce(greeting.nonce));
  writer.raw(bytes_of_nonce(challenge.nonce));
  writer.integer(greeting.version);
  writer.integer(static_cast<uint8_t>(greeting.role));
  writer.integer(flags_of(greeting));
  writer.integer(static_cast<uint8_t>(challenge.has_token));
  writer.integer(greeting.agent.value);
  writer.raw(greeting.job_id);
  return Hmac(token).add(said).finish();
}

}  // namespace ferrun
