#include "launcher/hosts/host_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

HostOrder an_order() {
  HostOrder order{"/work/a folder", {"--nnodes=2", "", "a\nb", "\xff 'q' $x"}, {}};
  order.environment.set("FERRUN_TOKEN", "secret");
  order.environment.set("EMPTY", "");
  order.environment.set("EQUALS", "a=b\n");
  return order;
}

std::string refusal(std::string_view bytes) {
  HostOrderReader reader;
  const auto read = reader.feed(bytes);
  return read ? "taken" : read.error().message;
}

TEST(HostOrder, ArrivesInPiecesOfAnySizeWithWhatFollows) {
  const std::string bytes = encode_host_order(an_order()) + "SIGTERM\n";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    HostOrderReader reader;
    std::optional<HostOrder> order;
    std::string rest;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      const std::string_view next = std::string_view(bytes).substr(at, piece);
      if (order) {
        rest += next;
        continue;
      }
      auto fed = reader.feed(next);
      ASSERT_TRUE(fed.ok()) << fed.error().message;
      order = std::move(*fed);
      if (order) rest = reader.take_rest();
    }
    ASSERT_TRUE(order.has_value()) << piece;
    EXPECT_EQ(order->folder, "/work/a folder");
    EXPECT_THAT(order->arguments, ElementsAre("--nnodes=2", "", "a\nb", "\xff 'q' $x"));
    EXPECT_EQ(order->environment, an_order().environment);
    EXPECT_EQ(rest, "SIGTERM\n");
  }
}

TEST(HostOrder, WhatIsNoneIsRefusedAtOnce) {
  EXPECT_THAT(refusal("GET / HTTP/1.1\r\n"), HasSubstr("what came is none"));
  EXPECT_THAT(refusal("F" + std::string(100, 'x')), HasSubstr("what came is none"));
  EXPECT_THAT(refusal("FERRUN HOST ORDER 1" + std::string(100, ' ')), HasSubstr("what came is none"));
  EXPECT_THAT(refusal("FERRUN HOST ORDER 2 10\n"), HasSubstr("another version"));
  EXPECT_THAT(refusal("FERRUN HOST ORDER 1 -1\n"), HasSubstr("size"));
  EXPECT_THAT(refusal("FERRUN HOST ORDER 1 99999999999\n"), HasSubstr("size"));
  EXPECT_THAT(refusal("FERRUN HOST ORDER 1\n"), HasSubstr("size"));
  using namespace std::string_literals;
  EXPECT_THAT(refusal("FERRUN HOST ORDER 1 2\nab"s), HasSubstr("no end"));
  EXPECT_THAT(refusal("FERRUN HOST ORDER 1 5\n/\0"
                      "9\0x"s),
              HasSubstr("no end"));
  EXPECT_THAT(refusal("FERRUN HOST ORDER 1 4\n/\0"
                      "9\0"s),
              HasSubstr("add up"));
  EXPECT_THAT(refusal("FERRUN HOST ORDER 1 7\n/\0"
                      "0\0=x\0"s),
              HasSubstr("no name"));
}

}  // namespace
}  // namespace ferrun
