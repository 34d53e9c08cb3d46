#include "rendezvous/etcd/etcd_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun::etcd {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(EtcdCodec, Base64IsThatOfTheRfc) {
  for (const auto& [bytes, text] : std::vector<std::pair<std::string, std::string>>{
           {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff", "+/8="}}) {
    EXPECT_EQ(to_base64(bytes), text);
    EXPECT_EQ(from_base64(text), bytes);
  }
  for (const char* bad : {"Z", "Zg=", "Zg=a", "Z===", "Zm9v!A==", "Zg==Zg=="})
    EXPECT_EQ(from_base64(bad), std::nullopt);
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(from_base64(to_base64(all)), all);
}

TEST(EtcdCodec, WritesATransaction) {
  const Request request = transaction({{Compare::What::kCreateRevision, "a", 0}, {Compare::What::kModRevision, "b", 7}},
                                      {{Operation::What::kPut, "a", "v", 9}, {Operation::What::kDelete, "b", "", 0}},
                                      {{Operation::What::kRange, "a", "", 0}});
  EXPECT_EQ(request.path, "/v3/kv/txn");
  EXPECT_EQ(request.body, R"({"compare":[{"key":"YQ==","target":"CREATE","result":"EQUAL","create_revision":"0"},)"
                          R"({"key":"Yg==","target":"MOD","result":"EQUAL","mod_revision":"7"}],)"
                          R"("success":[{"request_put":{"key":"YQ==","value":"dg==","lease":"9"}},)"
                          R"({"request_delete_range":{"key":"Yg=="}}],"failure":[{"request_range":{"key":"YQ=="}}]})");
}

// As etcd 3.4.23 wrote them.
TEST(EtcdCodec, ReadsWhatEtcdWrites) {
  const Outcome read = decode(
      200,
      R"({"header":{"cluster_id":"11605249171607781595","revision":"2","raft_term":"2"},"succeeded":true,"responses":[)"
      R"({"response_range":{"header":{"revision":"2"},"kvs":[{"key":"YQ==","create_revision":"2","mod_revision":"3",)"
      R"("version":"1","value":"Yg==","lease":"3824578794604842501"}],"count":"1"}},{"response_range":{}}]})");
  ASSERT_FALSE(read.failure);
  EXPECT_TRUE(read.reply.succeeded);
  EXPECT_EQ(read.reply.revision, 2);
  ASSERT_THAT(read.reply.pairs, SizeIs(1));
  EXPECT_EQ(read.reply.pairs[0].key, "a");
  EXPECT_EQ(read.reply.pairs[0].value, "b");
  EXPECT_EQ(read.reply.pairs[0].create_revision, 2);
  EXPECT_EQ(read.reply.pairs[0].mod_revision, 3);
  EXPECT_EQ(read.reply.pairs[0].lease, 3824578794604842501);

  const Outcome granted = decode(200, R"({"header":{"revision":"1"},"ID":"3824578794604842501","TTL":"2"})");
  EXPECT_EQ(granted.reply.lease, 3824578794604842501);
  EXPECT_EQ(granted.reply.seconds, 2);
  // A lease that has run out is kept alive without an error, and without a time.
  const Outcome gone = decode(200, R"({"result":{"header":{"revision":"1"},"ID":"77"}})");
  EXPECT_FALSE(gone.failure);
  EXPECT_EQ(gone.reply.seconds, 0);
}

TEST(EtcdCodec, TellsRefusalsApart) {
  const auto refusal = [](unsigned status, const std::string& words, int code) {
    return decode(status,
                  R"({"error":")" + words + R"(","message":")" + words + R"(","code":)" + std::to_string(code) + "}")
        .failure->refusal;
  };
  EXPECT_EQ(refusal(404, "etcdserver: requested lease not found", 5), Refusal::kOther);
  EXPECT_EQ(refusal(429, "etcdserver: mvcc: database space exceeded", 8), Refusal::kFull);
  EXPECT_EQ(refusal(401, "etcdserver: invalid auth token", 16), Refusal::kUnauthenticated);
  EXPECT_EQ(refusal(400, "etcdserver: user name is empty", 3), Refusal::kUnauthenticated);
  EXPECT_EQ(refusal(400, "etcdserver: authentication failed, invalid user ID or password", 3), Refusal::kForbidden);
  EXPECT_EQ(refusal(403, "etcdserver: permission denied", 7), Refusal::kForbidden);
  EXPECT_EQ(refusal(503, "etcdserver: request timed out", 14), Refusal::kNoQuorum);
  EXPECT_EQ(refusal(503, "etcdserver: no leader", 14), Refusal::kNoQuorum);
}

TEST(EtcdCodec, WhatIsNotEtcdsIsSaid) {
  EXPECT_THAT(decode(404, "Not Found").failure->line, HasSubstr("HTTP status 404"));
  EXPECT_THAT(decode(200, "<html>").failure->line, HasSubstr("is this etcd"));
  EXPECT_THAT(decode(200, "[1]").failure->line, HasSubstr("is this etcd"));
  for (const char* odd :
       {R"({"header":7})", R"({"responses":{}})", R"({"responses":[7,{"response_range":{"kvs":[3]}}]})",
        R"({"ID":"x","TTL":[]})", R"({"succeeded":"yes"})"}) {
    const Outcome read = decode(200, odd);
    EXPECT_FALSE(read.failure) << odd;
    EXPECT_FALSE(read.reply.succeeded);
    EXPECT_EQ(read.reply.seconds, 0);
  }
}

}  // namespace
}  // namespace ferrun::etcd
