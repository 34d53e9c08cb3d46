// Somebody on the way changes, repeats, reorders, drops or reflects bytes, or speaks without the token: every such
// session ends, and no message comes out of it that was not said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/rendezvous/wire/session_pair.h"

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(SessionAttack, EveryChangedBitOfTheHandshakeIsNoticed) {
  SessionPair honest;
  const std::string hello = honest.to_server;
  hear(honest.server, std::exchange(honest.to_server, {}), honest.at_server, honest.to_client);
  const std::string challenge = honest.to_client;
  hear(honest.client, std::exchange(honest.to_client, {}), honest.at_client, honest.to_server);
  honest.client_says(Heartbeat{1});
  const std::string proof = honest.to_server;

  for (size_t bit = 0; bit < 8 * (hello.size() + challenge.size() + proof.size()); ++bit) {
    SessionPair pair;
    size_t at = bit / 8;
    const auto change = [&at, bit](std::string& bytes) {
      if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit % 8));
      at -= bytes.size();
    };
    change(pair.to_server);
    hear(pair.server, std::exchange(pair.to_server, {}), pair.at_server, pair.to_client);
    change(pair.to_client);
    hear(pair.client, std::exchange(pair.to_client, {}), pair.at_client, pair.to_server);
    if (pair.client.authenticated()) pair.client_says(Heartbeat{1});
    change(pair.to_server);
    pair.run();
    EXPECT_THAT(pair.at_server.messages, IsEmpty()) << "bit " << bit;
  }
}

TEST(SessionAttack, AChangedBitOfAMessageEndsTheSession) {
  SessionPair honest;
  honest.run();
  honest.client_says(Heartbeat{1});
  const size_t size = honest.to_server.size();
  for (size_t bit = 0; bit < 8 * size; ++bit) {
    SessionPair pair;
    pair.run();
    pair.client_says(Heartbeat{1});
    pair.to_server[bit / 8] = static_cast<char>(pair.to_server[bit / 8] ^ (1 << bit % 8));
    pair.client_says(Heartbeat{2});
    pair.run();
    EXPECT_THAT(pair.at_server.messages, IsEmpty()) << "bit " << bit;
    // A changed size may make it wait for more bytes.
    if (bit >= 8 * kFrameHeaderBytes) {
      EXPECT_TRUE(pair.at_server.ended) << "bit " << bit;
    }
  }
}

TEST(SessionAttack, ARepeatedMessageEndsTheSession) {
  SessionPair pair;
  pair.run();
  pair.client_says(Heartbeat{1});
  pair.to_server += std::string(pair.to_server);
  pair.run();
  EXPECT_THAT(pair.at_server.messages, ElementsAre(MemberMessage(Heartbeat{1})));
  EXPECT_TRUE(pair.at_server.ended);
  EXPECT_THAT(pair.server.end().line, HasSubstr("repeated"));
}

TEST(SessionAttack, ReorderedAndLostMessagesEndTheSession) {
  for (const bool lost : {false, true}) {
    SessionPair pair;
    pair.run();
    std::string first, second;
    pair.client.send(encode(MemberMessage(Heartbeat{1})), first);
    pair.client.send(encode(MemberMessage(Heartbeat{2})), second);
    pair.to_server = lost ? second : second + first;
    pair.run();
    EXPECT_THAT(pair.at_server.messages, IsEmpty());
    EXPECT_TRUE(pair.at_server.ended);
  }
}

TEST(SessionAttack, AReflectedMessageEndsTheSession) {
  SessionPair pair;
  pair.run();
  pair.client_says(Heartbeat{1});
  hear(pair.client, pair.to_server, pair.at_client, pair.to_client);
  EXPECT_TRUE(pair.at_client.ended);
  EXPECT_THAT(pair.client.end().line, HasSubstr("not what was to come next"));
}

TEST(SessionAttack, AReflectedHandshakeProvesNothing) {
  SessionPair pair;
  hear(pair.client, pair.to_server, pair.at_client, pair.to_client);
  EXPECT_TRUE(pair.at_client.ended);
  EXPECT_FALSE(pair.at_client.authenticated);

  // The server's own proof sent back to it.
  SessionPair other;
  hear(other.server, std::exchange(other.to_server, {}), other.at_server, other.to_client);
  const std::string proof = other.to_client.substr(other.to_client.size() - HmacDigest().size());
  std::string reflected;
  HmacDigest digest;
  std::copy(proof.begin(), proof.end(), digest.begin());
  append_proof(reflected, digest);
  hear(other.server, reflected, other.at_server, other.to_client);
  EXPECT_FALSE(other.at_server.authenticated);
  EXPECT_TRUE(other.at_server.ended);
}

TEST(SessionAttack, ARepeatedSessionMeetsAnotherNonce) {
  SessionPair pair;
  std::string recorded = pair.to_server;
  hear(pair.server, std::exchange(pair.to_server, {}), pair.at_server, pair.to_client);
  hear(pair.client, std::exchange(pair.to_client, {}), pair.at_client, pair.to_server);
  pair.client_says(Heartbeat{1});
  recorded += pair.to_server;

  ServerSession server(job_secret("job", "token"), nonce_of(3));
  Heard<MemberMessage> heard;
  std::string out;
  hear(server, recorded, heard, out);
  EXPECT_FALSE(heard.authenticated);
  EXPECT_TRUE(heard.ended);
  EXPECT_THAT(heard.messages, IsEmpty());
}

TEST(SessionAttack, AServerWithoutTheTokenGetsNoProof) {
  // It answers with what it likes; the client must not give a proof that serves elsewhere.
  SessionPair pair;
  std::string forged(kStreamMagic);
  append_challenge(forged, Challenge{true, nonce_of(9), HmacDigest{}}, false);
  pair.to_server.clear();
  hear(pair.client, forged, pair.at_client, pair.to_server);
  EXPECT_TRUE(pair.at_client.ended);
  EXPECT_EQ(pair.client.end().why, SessionEnd::Why::kToken);
  const std::optional<Refusal> refusal = read_refusal(std::string_view(pair.to_server).substr(kFrameHeaderBytes));
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->reason, RefusalReason::kToken);
}

TEST(SessionAttack, AClientWithoutTheTokenIsRefused) {
  SessionPair pair;
  hear(pair.server, std::exchange(pair.to_server, {}), pair.at_server, pair.to_client);
  pair.to_client.clear();
  std::string forged;
  append_proof(forged, HmacDigest{});
  hear(pair.server, forged, pair.at_server, pair.to_client);
  EXPECT_TRUE(pair.at_server.ended);
  EXPECT_EQ(pair.server.end().why, SessionEnd::Why::kToken);
  EXPECT_TRUE(read_refusal(std::string_view(pair.to_client).substr(kFrameHeaderBytes)).has_value());
}

TEST(SessionAttack, AMessageBeforeTheHandshakeEndsTheSession) {
  SessionPair pair;
  std::string stream(kStreamMagic);
  const std::string message = encode(MemberMessage(Heartbeat{1}));
  append_frame_header(stream, message.size());
  hear(pair.server, stream + message, pair.at_server, pair.to_client);
  EXPECT_TRUE(pair.at_server.ended);
  EXPECT_EQ(pair.server.end().line, "its first frame is no Hello");
  EXPECT_THAT(pair.to_client, IsEmpty());
}

TEST(SessionAttack, AnEndedSessionStaysEnded) {
  SessionPair pair;
  pair.run();
  pair.client_says(Heartbeat{1});
  const std::string good = std::exchange(pair.to_server, {});
  pair.client_says(Heartbeat{2});
  pair.run();
  ASSERT_TRUE(pair.at_server.ended);
  EXPECT_FALSE(pair.server.authenticated());
  hear(pair.server, good, pair.at_server, pair.to_client);
  EXPECT_THAT(pair.at_server.messages, IsEmpty());
}

}  // namespace
}  // namespace ferrun
