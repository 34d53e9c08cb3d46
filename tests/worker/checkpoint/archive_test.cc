#include <gtest/gtest.h>

#include "tests/worker/checkpoint/archives.h"
#include "worker/checkpoint/archive_reader.h"
#include "worker/checkpoint/pickle_writer.h"
#include "worker/checkpoint/zip_writer.h"

namespace ferrun::checkpoint {
namespace {

std::string archive_error(const std::vector<uint8_t>& bytes) {
  const MemorySource source(bytes);
  auto archive = open_archive(source);
  return archive ? "" : archive.error().message;
}

std::vector<uint8_t> archive_of(const std::vector<std::pair<std::string, std::string>>& records) {
  MemorySink sink;
  ZipWriter zip(sink, "archive");
  for (const auto& [name, text] : records) EXPECT_TRUE(zip.add(name, as_bytes(text)).ok());
  EXPECT_TRUE(zip.finish().ok());
  return sink.bytes();
}

TEST(Archive, TreeAndStoragesComeBack) {
  const auto bytes = small_checkpoint(7, {1.5f, -2.0f});
  const MemorySource source(bytes);
  auto archive = open_archive(source);
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  EXPECT_EQ(*archive->tree.find("epoch")->get<int64_t>(), 7);
  std::vector<float> weights(2);
  const auto read = archive->storages->read("0", {reinterpret_cast<uint8_t*>(weights.data()), 8});
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(weights, (std::vector<float>{1.5f, -2.0f}));
}

TEST(Archive, EqualContentGivesEqualBytes) {
  EXPECT_EQ(small_checkpoint(7, {1, 2, 3}), small_checkpoint(7, {1, 2, 3}));
  EXPECT_NE(small_checkpoint(7, {1, 2, 3}), small_checkpoint(7, {1, 2, 4}));
}

TEST(Archive, AMissingOrShortStorageIsNamed) {
  const std::string pickle = *write_pickle(float_vector("0", 4));
  EXPECT_NE(archive_error(archive_of({{"data.pkl", pickle}})).find("data/0"), std::string::npos);
  EXPECT_NE(archive_error(archive_of({{"data.pkl", pickle}, {"data/0", std::string(15, 'x')}})).find("data/0"),
            std::string::npos);
  EXPECT_EQ(archive_error(archive_of({{"data.pkl", pickle}, {"data/0", std::string(16, 'x')}})), "");
}

TEST(Archive, OtherZipFilesAreToldApart) {
  EXPECT_NE(archive_error(archive_of({{"readme", "hello"}})).find("no PyTorch checkpoint"), std::string::npos);
  EXPECT_NE(archive_error(archive_of({{"data.pkl", "x"}, {"constants.pkl", "x"}})).find("TorchScript"),
            std::string::npos);
  EXPECT_NE(archive_error(archive_of({{"data.pkl", "x"}, {"byteorder", "big"}})).find("big-endian"), std::string::npos);
}

TEST(Archive, EveryTruncationIsRefused) {
  const auto bytes = small_checkpoint(1, {1, 2, 3});
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_NE(archive_error({bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length)}), "") << length;
  }
}

}  // namespace
}  // namespace ferrun::checkpoint
