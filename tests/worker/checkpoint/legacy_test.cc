// Files of torch.save before 1.6, put together by hand; tests/parity reads those that PyTorch writes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/worker/checkpoint/archives.h"
#include "worker/checkpoint/file_format.h"
#include "worker/checkpoint/legacy_reader.h"
#include "worker/checkpoint/pickle_writer.h"
#include "worker/checkpoint/zip_format.h"

namespace ferrun::checkpoint {
namespace {

using ::testing::HasSubstr;

std::string storage(const std::vector<float>& values) {
  std::string bytes;
  zip::put<8>(bytes, values.size());
  return bytes + std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

std::string head(bool little_endian = true) {
  std::string bytes(kLegacyMagic.begin(), kLegacyMagic.end());
  return bytes + "." + *write_pickle(1001) +
         *write_pickle(StoredTree::Dict{{"protocol_version", 1001}, {"little_endian", little_endian}});
}

// Two storages, whose keys are listed in another order than they are used.
std::string legacy_file() {
  return head() + *write_pickle(StoredTree::Dict{{"a", float_vector("9", 2)}, {"b", float_vector("10", 1)}}) +
         *write_pickle(StoredTree::List{"10", "9"}) + storage({7}) + storage({1.5f, -2});
}

TEST(Legacy, TreeAndStoragesComeBack) {
  const std::string bytes = legacy_file();
  const MemorySource source(as_bytes(bytes));
  auto archive = open_archive(source);
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  EXPECT_EQ(archive->tree.find("a")->get<StoredTensor>()->sizes, std::vector<int64_t>{2});
  std::vector<float> values(2);
  ASSERT_TRUE(archive->storages->read("9", {reinterpret_cast<uint8_t*>(values.data()), 8}).ok());
  EXPECT_EQ(values, (std::vector<float>{1.5f, -2}));
  EXPECT_EQ(archive->storages->size("10"), 4U);
  EXPECT_FALSE(archive->storages->has("11"));
}

std::string legacy_error(const std::string& bytes) {
  const MemorySource source(as_bytes(bytes));
  auto archive = open_archive(source);
  return archive ? "" : archive.error().message;
}

TEST(Legacy, EveryTruncationIsRefused) {
  const std::string bytes = legacy_file();
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_NE(legacy_error(bytes.substr(0, length)), "") << length;
  }
}

TEST(Legacy, WhatDoesNotFitIsRefused) {
  EXPECT_THAT(legacy_error(head(false)), HasSubstr("big-endian"));
  const std::string tensor = head() + *write_pickle(StoredTree::Dict{{"a", float_vector("0", 2)}});
  EXPECT_THAT(legacy_error(tensor + *write_pickle(StoredTree::List{"1"}) + storage({1, 2})), HasSubstr("refers to"));
  EXPECT_THAT(legacy_error(tensor + *write_pickle(StoredTree::List{}) + storage({1, 2})), HasSubstr("missing"));
  EXPECT_THAT(legacy_error(tensor + *write_pickle(StoredTree::List{"0"}) + storage({1})), HasSubstr("too short"));
  EXPECT_THAT(legacy_error(tensor + *write_pickle(StoredTree::List{"0", "0"}) + storage({1, 2}) + storage({1, 2})),
              HasSubstr("twice"));
  EXPECT_THAT(legacy_error(tensor + *write_pickle(3)), HasSubstr("no list"));
  std::string length(8, '\xff');
  EXPECT_THAT(legacy_error(tensor + *write_pickle(StoredTree::List{"0"}) + length), HasSubstr("truncated"));
}

}  // namespace
}  // namespace ferrun::checkpoint
