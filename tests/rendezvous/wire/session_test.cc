#include "rendezvous/wire/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rendezvous/wire/frame_codec.h"
#include "tests/rendezvous/wire/session_pair.h"

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::chrono_literals;
using Why = SessionEnd::Why;

TEST(Session, AuthenticatesBothSides) {
  SessionPair pair;
  pair.run();
  EXPECT_TRUE(pair.at_client.authenticated && pair.client.authenticated());
  EXPECT_TRUE(pair.at_server.authenticated && pair.server.authenticated());
  EXPECT_EQ(pair.server.agent(), AgentId{42});
  EXPECT_EQ(pair.server.role(), SessionRole::kMember);
}

TEST(Session, WorksWithoutAToken) {
  SessionPair pair(job_secret("job", ""), job_secret("job", ""));
  pair.run();
  EXPECT_TRUE(pair.client.authenticated());
  EXPECT_TRUE(pair.server.authenticated());
}

TEST(Session, CarriesMessagesBothWaysInOrder) {
  SessionPair pair;
  pair.run();
  for (uint64_t number = 0; number < 100; ++number) {
    pair.client_says(Heartbeat{number});
    pair.server_says(HeartbeatAnswer{number});
  }
  pair.run();
  ASSERT_EQ(pair.at_server.messages.size(), 100u);
  ASSERT_EQ(pair.at_client.messages.size(), 100u);
  for (uint64_t number = 0; number < 100; ++number) {
    EXPECT_EQ(pair.at_server.messages[number], MemberMessage(Heartbeat{number}));
    EXPECT_EQ(pair.at_client.messages[number], CoordinatorMessage(HeartbeatAnswer{number}));
  }
}

TEST(Session, TheServerSaysNothingFirst) {
  const auto job = job_secret("job", "token");
  ServerSession server(job, nonce_of(2));
  Heard<MemberMessage> heard;
  std::string out;
  hear(server, std::string(kStreamMagic), heard, out);
  EXPECT_THAT(out, IsEmpty());
}

TEST(Session, SplitsOfTheStreamChangeNothing) {
  SessionPair pair;
  for (int turn = 0; turn < 10; ++turn) {
    for (const char byte : std::exchange(pair.to_server, {}))
      hear(pair.server, {&byte, 1}, pair.at_server, pair.to_client);
    for (const char byte : std::exchange(pair.to_client, {}))
      hear(pair.client, {&byte, 1}, pair.at_client, pair.to_server);
    if (turn == 3) {
      ASSERT_TRUE(pair.client.authenticated());
      pair.client_says(Heartbeat{1});
      pair.client_says(Heartbeat{2});
    }
  }
  EXPECT_THAT(pair.at_server.messages, ElementsAre(MemberMessage(Heartbeat{1}), MemberMessage(Heartbeat{2})));
}

TEST(Session, TheClientMaySpeakRightBehindItsProof) {
  SessionPair pair;
  hear(pair.server, std::exchange(pair.to_server, {}), pair.at_server, pair.to_client);
  hear(pair.client, std::exchange(pair.to_client, {}), pair.at_client, pair.to_server);
  ASSERT_TRUE(pair.client.authenticated());
  pair.client_says(Heartbeat{7});
  pair.run();
  EXPECT_THAT(pair.at_server.messages, ElementsAre(MemberMessage(Heartbeat{7})));
}

TEST(Session, OneEncodedMessageServesManySessions) {
  const std::string encoded = encode(CoordinatorMessage(Go{{1, 3}, "node3 joined"}));
  for (int i = 0; i < 3; ++i) {
    SessionPair pair;
    pair.run();
    pair.server.send(encoded, pair.to_client);
    pair.run();
    EXPECT_THAT(pair.at_client.messages, ElementsAre(CoordinatorMessage(Go{{1, 3}, "node3 joined"})));
  }
}

TEST(Session, BothSidesNameAWrongToken) {
  SessionPair pair(job_secret("job", "one"), job_secret("job", "other"));
  pair.run();
  ASSERT_TRUE(pair.at_client.ended && pair.at_server.ended);
  EXPECT_EQ(pair.client.end().why, Why::kToken);
  EXPECT_EQ(pair.server.end().why, Why::kToken);
  EXPECT_EQ(pair.client.end().line, "it has another job token (--token-file or FERRUN_TOKEN)");
  EXPECT_EQ(pair.server.end().line, "it has another job token (--token-file or FERRUN_TOKEN)");
}

TEST(Session, BothSidesNameAMissingToken) {
  SessionPair pair(job_secret("job", ""), job_secret("job", "token"));
  pair.run();
  ASSERT_TRUE(pair.at_client.ended && pair.at_server.ended);
  EXPECT_EQ(pair.client.end().line, "it has a job token, and there is none here (--token-file or FERRUN_TOKEN)");
  EXPECT_EQ(pair.server.end().line, "it has no job token, and there is one here (--token-file or FERRUN_TOKEN)");
}

TEST(Session, BothSidesNameAnotherJobWithBothIds) {
  SessionPair pair(job_secret("mine", "token"), job_secret("theirs\x1B[2J", "token"));
  pair.run();
  ASSERT_TRUE(pair.at_client.ended && pair.at_server.ended);
  EXPECT_EQ(pair.client.end().why, Why::kOtherJob);
  EXPECT_EQ(pair.server.end().why, Why::kOtherJob);
  EXPECT_EQ(pair.client.end().line, "it belongs to job 'theirs', and this is job 'mine' (--rdzv-id)");
  EXPECT_EQ(pair.server.end().line, "it belongs to job 'mine', and this is job 'theirs' (--rdzv-id)");
}

TEST(Session, BothSidesNameAnotherVersion) {
  const auto job = job_secret("job", "token");
  ServerSession server(job, nonce_of(2));
  Heard<MemberMessage> at_server;
  std::string to_client;
  // Of what a later version says only the beginning is known.
  std::string hello(kStreamMagic);
  append_frame_header(hello, 10);
  hello += std::string("\x01\x07\x00???????", 10);
  hear(server, hello, at_server, to_client);
  ASSERT_TRUE(at_server.ended);
  EXPECT_EQ(server.end().why, Why::kVersion);
  EXPECT_EQ(server.end().line, "it speaks version 7 of ferrun's protocol, and this ferrun speaks version 1");

  std::string to_server;
  ClientSession client(job, SessionRole::kMember, AgentId{1}, nonce_of(1), to_server);
  Heard<CoordinatorMessage> at_client;
  to_client[to_client.find("job") - 4] = 9;  // as if the server were newer
  hear(client, to_client, at_client, to_server);
  ASSERT_TRUE(at_client.ended);
  EXPECT_EQ(client.end().why, Why::kVersion);
  EXPECT_THAT(client.end().line, HasSubstr("it speaks version"));
}

class WrappedToken : public ::testing::Test {
 protected:
  std::string to_server, to_client;
  Heard<MemberMessage> at_server;
  Heard<CoordinatorMessage> at_client;
  const std::shared_ptr<const JobSecret> handed_out = std::make_shared<JobSecret>("job", "a token", "(a token)");
  // It has one of its own, for the case that it is the host.
  ClientSession client{job_secret("job", "its own"),  SessionRole::kMember, AgentId{1}, nonce_of(1), to_server,
                       ClientSession::Token::kWrapped};
  void carry(ServerSession& server) {
    hear(server, std::exchange(to_server, {}), at_server, to_client);
    hear(client, std::exchange(to_client, {}), at_client, to_server);
  }
};

TEST_F(WrappedToken, IsHandedOutAndThenProvenByBothSides) {
  ServerSession server(handed_out, nonce_of(2));
  carry(server);
  ASSERT_TRUE(at_client.wrapped && !at_client.authenticated);
  EXPECT_EQ(client.wrapped_token(), "(a token)");
  EXPECT_THAT(to_server, IsEmpty()) << "nothing is said before it is unwrapped";
  EXPECT_EQ(client.unwrapped(job_secret("job", "a token"), to_server), SessionOutcome::kAuthenticated);
  client.send(encode(Heartbeat{5}), to_server);
  carry(server);
  EXPECT_TRUE(server.authenticated());
  EXPECT_THAT(at_server.messages, ElementsAre(MemberMessage(Heartbeat{5})));
}

TEST_F(WrappedToken, ThatTheServerDoesNotKnowIsRefused) {
  const auto stolen = std::make_shared<JobSecret>("job", "guessed", "(a token)");
  ServerSession server(stolen, nonce_of(2));
  carry(server);
  ASSERT_TRUE(at_client.wrapped);
  EXPECT_EQ(client.unwrapped(job_secret("job", "a token"), to_server), SessionOutcome::kEnded);
  EXPECT_EQ(client.end().why, Why::kToken);
  carry(server);
  EXPECT_EQ(server.end().why, Why::kToken);
}

TEST_F(WrappedToken, NobodyWhoDoesNotAskIsGivenIt) {
  SessionPair pair(job_secret("job", "a token"), handed_out);
  pair.run();
  EXPECT_TRUE(pair.client.authenticated());
  EXPECT_FALSE(pair.at_client.wrapped);
}

TEST_F(WrappedToken, AServerThatHandsNoneOutIsMetByTheClientsOwn) {
  ServerSession stranger(job_secret("job", ""), nonce_of(2));
  carry(stranger);
  EXPECT_EQ(client.end().line, "it has no job token, and there is one here (--token-file or FERRUN_TOKEN)");
}

TEST_F(WrappedToken, WhileItIsUnwrappedTheServerHasNothingToSay) {
  ServerSession server(handed_out, nonce_of(2));
  hear(server, std::exchange(to_server, {}), at_server, to_client);
  const std::string challenge = to_client.substr(kStreamMagic.size());
  carry(server);
  hear(client, challenge, at_client, to_server);
  EXPECT_EQ(client.end().why, Why::kProtocol);
  EXPECT_EQ(client.unwrapped(job_secret("job", "a token"), to_server), SessionOutcome::kEnded);
}

TEST_F(WrappedToken, IsOfLimitedLength) {
  ServerSession server(std::make_shared<JobSecret>("job", "a token", std::string(kMaxWrappedTokenBytes, 'x')),
                       nonce_of(2));
  carry(server);
  EXPECT_TRUE(at_client.wrapped);
  Challenge longer;
  longer.wrapped_token.assign(kMaxWrappedTokenBytes + 1, 'x');
  std::string frame;
  append_challenge(frame, longer, true);
  EXPECT_FALSE(read_challenge(std::string_view(frame).substr(kFrameHeaderBytes), true));
}

TEST(Session, BothSidesNameAForeignProtocol) {
  SessionPair pair;
  hear(pair.server, "GET / HTTP/1.1\r\n", pair.at_server, pair.to_client);
  EXPECT_TRUE(pair.at_server.ended);
  EXPECT_EQ(pair.server.end().why, Why::kForeign);
  EXPECT_THAT(pair.server.end().line, HasSubstr("GET / HTTP/1.1"));
  EXPECT_THAT(pair.to_client, IsEmpty());
  hear(pair.client, "HTTP/1.1 400 Bad Request\r\n", pair.at_client, pair.to_server);
  EXPECT_TRUE(pair.at_client.ended);
  EXPECT_EQ(pair.client.end().why, Why::kForeign);
  EXPECT_THAT(pair.client.end().line, HasSubstr("HTTP/1.1 400 Bad Request"));
}

TEST(Session, AStatusClientMayOnlyAskForTheStatus) {
  SessionPair pair(job_secret("job", "token"), job_secret("job", "token"), SessionRole::kStatus);
  pair.run();
  pair.client_says(StatusRequest{3});
  pair.run();
  EXPECT_THAT(pair.at_server.messages, ElementsAre(MemberMessage(StatusRequest{3})));
  pair.client_says(Heartbeat{1});
  pair.run();
  EXPECT_TRUE(pair.at_server.ended);
  EXPECT_THAT(pair.server.end().line, HasSubstr("takes no part in the job"));
}

TEST(Session, AProbeMaySayNothing) {
  SessionPair pair(job_secret("job", "token"), job_secret("job", "token"), SessionRole::kProbe);
  pair.run();
  EXPECT_EQ(pair.server.role(), SessionRole::kProbe);
  pair.client_says(StatusRequest{3});
  pair.run();
  EXPECT_TRUE(pair.at_server.ended);
}

TEST(Session, LimitsTheRateOfMessages) {
  SessionPair pair;
  pair.run();
  const auto say = [&pair](int count, TimePoint now) {
    for (int i = 0; i < count; ++i) pair.client_says(Heartbeat{1});
    hear(pair.server, std::exchange(pair.to_server, {}), pair.at_server, pair.to_client, now);
  };
  const auto burst = static_cast<int>(kMemberLimits.frame_burst);
  const auto rate = static_cast<int>(kMemberLimits.frames_per_second);
  TimePoint now(1h);
  say(burst, now);
  EXPECT_FALSE(pair.at_server.ended) << "what piles up while the coordinator stands still is no flood";
  for (int second = 0; second < 100; ++second) say(rate, now += 1s);
  EXPECT_FALSE(pair.at_server.ended);
  say(rate + 1, now += 1s);
  say(1, now);
  EXPECT_TRUE(pair.at_server.ended);
  EXPECT_EQ(pair.server.end().line, "it sent more than 2000 messages a second");
}

TEST(Session, AllowsTheShortestHeartbeatInterval) {
  SessionPair pair;
  pair.run();
  TimePoint now(1h);
  for (int beat = 0; beat < 30'000; ++beat) {
    pair.client_says(Heartbeat{1});
    hear(pair.server, std::exchange(pair.to_server, {}), pair.at_server, pair.to_client, now += 1ms);
    pair.server_says(HeartbeatAnswer{1});
    hear(pair.client, std::exchange(pair.to_client, {}), pair.at_client, pair.to_server, now);
  }
  EXPECT_FALSE(pair.at_server.ended);
  EXPECT_FALSE(pair.at_client.ended);
}

TEST(Session, HasSmallFramesBeforeItsHandshakeAndLargeOnesBehindIt) {
  SessionPair pair;
  std::string stream(kStreamMagic);
  append_frame_header(stream, kHandshakeFrameLimit + 1);
  hear(pair.server, stream, pair.at_server, pair.to_client);
  EXPECT_TRUE(pair.at_server.ended);
  EXPECT_THAT(pair.server.end().line, HasSubstr("1025 bytes"));

  SessionPair large;
  large.run();
  Prepare prepare;
  prepare.open_store = true;
  prepare.admitted.assign(20'000, "2001:0db8:85a3:0000:0000:8a2e:0370:7334");
  large.server_says(prepare);
  large.run();
  EXPECT_THAT(large.at_client.messages, ElementsAre(CoordinatorMessage(prepare)));
  append_frame_header(large.to_server, kMemberFrameLimit + 1);
  large.run();
  EXPECT_TRUE(large.at_server.ended);
}

TEST(Session, RefusesWhatCannotBeDecoded) {
  SessionPair pair;
  pair.run();
  pair.client.send("\xFF", pair.to_server);
  pair.run();
  EXPECT_TRUE(pair.at_server.ended);
  EXPECT_EQ(pair.server.end().line, "it sent a message of the unknown kind 255");
  pair.server.send(encode(MemberMessage(Heartbeat{1})), pair.to_client);
  hear(pair.client, pair.to_client, pair.at_client, pair.to_server);
  EXPECT_EQ(pair.client.end().line, "it sent a message of the unknown kind 17");
}

TEST(Session, TakesTheLongestJobId) {
  const std::string id(kMaxJobIdBytes, 'j');
  SessionPair pair(job_secret(id, "token"), job_secret(id, "token"));
  pair.run();
  EXPECT_TRUE(pair.server.authenticated());
  SessionPair other(job_secret(id, "token"), job_secret(id.substr(1) + "k", "token"));
  other.run();
  EXPECT_TRUE(other.at_client.ended);
  EXPECT_EQ(other.client.end().why, Why::kOtherJob);
}

TEST(Session, HoldsNothingBetweenMessages) {
  SessionPair pair;
  pair.run();
  for (uint64_t i = 0; i < 10; ++i) pair.client_says(Heartbeat{i});
  pair.run();
  EXPECT_LE(pair.server.held_bytes(), sizeof(std::string));
  EXPECT_LE(sizeof(ServerSession), 640u) << "10,000 of them should stay small";
}

}  // namespace
}  // namespace ferrun
