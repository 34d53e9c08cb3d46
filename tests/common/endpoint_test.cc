#include "common/endpoint.h"

#include <gtest/gtest.h>

namespace ferrun {
namespace {

Endpoint parsed(std::string_view text) {
  const Result<Endpoint> result = parse_endpoint(text, 29400);
  EXPECT_TRUE(result.ok()) << text << ": " << (result.ok() ? "" : result.error().message);
  return result.ok() ? *result : Endpoint{};
}

std::string refused(std::string_view text) {
  const Result<Endpoint> result = parse_endpoint(text, 29400);
  EXPECT_FALSE(result.ok()) << text;
  if (result.ok()) return "";
  EXPECT_EQ(result.error().kind, ErrorKind::kUsage);
  return result.error().message;
}

TEST(Endpoint, TakesHostAndPort) {
  EXPECT_EQ(parsed("node0:1234"), (Endpoint{"node0", 1234}));
  EXPECT_EQ(parsed("10.0.0.7:65535"), (Endpoint{"10.0.0.7", 65535}));
  EXPECT_EQ(parsed("a_b-c.example.org:0"), (Endpoint{"a_b-c.example.org", 0}));
}

TEST(Endpoint, UsesTheDefaultPortWhenNoneIsGiven) {
  EXPECT_EQ(parsed("node0"), (Endpoint{"node0", 29400}));
  EXPECT_EQ(parsed("[fe80::1]"), (Endpoint{"fe80::1", 29400}));
}

TEST(Endpoint, IsLocalhostWhenEmpty) {
  EXPECT_EQ(parsed(""), (Endpoint{"localhost", 29400}));
  EXPECT_EQ(parsed("  \t"), (Endpoint{"localhost", 29400}));
}

TEST(Endpoint, TakesBracketsOffIpv6) { EXPECT_EQ(parsed("[::1]:29"), (Endpoint{"::1", 29})); }

TEST(Endpoint, SplitsAnUnbracketedIpv6AddressAtTheLastColonAsTorchrunDoes) {
  EXPECT_EQ(parsed("2001:db8::7:29400"), (Endpoint{"2001:db8::7", 29400}));
}

TEST(Endpoint, AsksForBracketsWhereTheLastColonIsPartOfTheAddress) {
  for (const char* text : {"::1", "fe80::1"}) EXPECT_NE(refused(text).find("brackets"), std::string::npos) << text;
}

TEST(Endpoint, SaysThatTheHostIsMissing) {
  EXPECT_EQ(refused(":29400"),
            "bad endpoint ':29400': there is no host before the port (is a variable empty?): write HOST:29400");
}

TEST(ParsePort, IsFrom0To65535) {
  EXPECT_EQ(*parse_port("0"), 0);
  EXPECT_EQ(*parse_port("65535"), 65535);
  for (const char* text : {"", "-1", "+1", " 1", "65536", "123456", "http"}) EXPECT_FALSE(parse_port(text)) << text;
}

TEST(Endpoint, RefusesWhatIsNoPort) {
  for (const char* text : {"a:", "a:b", "a:65536", "a:123456", "a:-1", "a:+1", "a: 1"}) {
    EXPECT_NE(refused(text).find("65535"), std::string::npos) << text;
  }
}

TEST(Endpoint, RefusesWhatIsNoHost) {
  for (const char* text : {"a b:1", "a/b", "[]", "[a:1", "http://a:1"}) {
    EXPECT_NE(refused(text).find(text), std::string::npos) << text;
  }
}

TEST(Endpoint, IsReadBackFromItsText) {
  for (const Endpoint& endpoint : {Endpoint{"node0", 1}, Endpoint{"::1", 29400}, Endpoint{"10.0.0.7", 65535}}) {
    EXPECT_EQ(parsed(to_string(endpoint)), endpoint);
  }
}

}  // namespace
}  // namespace ferrun
