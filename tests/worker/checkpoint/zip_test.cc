#include <gtest/gtest.h>

#include "tests/worker/checkpoint/archives.h"
#include "worker/checkpoint/zip_format.h"
#include "worker/checkpoint/zip_reader.h"
#include "worker/checkpoint/zip_writer.h"

namespace ferrun::checkpoint {
namespace {

std::vector<uint8_t> two_records() {
  MemorySink sink;
  ZipWriter zip(sink, "root");
  EXPECT_TRUE(zip.add("data.pkl", as_bytes("first")).ok());
  EXPECT_TRUE(zip.add("data/0", as_bytes("second record")).ok());
  EXPECT_TRUE(zip.finish().ok());
  return sink.bytes();
}

// The record's text, or the error's.
std::string text_of(const std::vector<uint8_t>& archive, const std::string& name) {
  const MemorySource source(archive);
  auto zip = ZipReader::open(source);
  if (!zip) return zip.error().message;
  std::string text(zip->size(name), '\0');
  auto read = zip->read(name, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
  return read ? text : read.error().message;
}

std::string zip_error(const std::vector<uint8_t>& archive) { return text_of(archive, "data.pkl"); }

// Changes `Width` bytes at `offset` from the beginning of the last directory entry but one, which is data/0's.
template <size_t Width>
std::vector<uint8_t> with_entry_field(std::vector<uint8_t> archive, size_t offset, uint64_t value) {
  const std::string text(archive.begin(), archive.end());
  const size_t name = text.rfind("root/data/0");
  const size_t entry = name - zip::kDirectoryEntrySize;
  for (size_t i = 0; i < Width; ++i) archive[entry + offset + i] = static_cast<uint8_t>(value >> (8 * i));
  return archive;
}

TEST(Zip, RecordsComeBack) {
  const auto archive = two_records();
  EXPECT_EQ(text_of(archive, "data.pkl"), "first");
  EXPECT_EQ(text_of(archive, "data/0"), "second record");
}

TEST(Zip, DataBeginsAtMultiplesOf64Bytes) {
  const auto archive = two_records();
  const std::string text(archive.begin(), archive.end());
  EXPECT_EQ(text.find("first") % 64, 0u);
  EXPECT_EQ(text.find("second record") % 64, 0u);
}

TEST(Zip, ACommentBehindTheEndIsAllowed) {
  auto archive = two_records();
  archive[archive.size() - 2] = 5;
  for (char c : std::string("hello")) archive.push_back(static_cast<uint8_t>(c));
  EXPECT_EQ(text_of(archive, "data.pkl"), "first");
}

TEST(Zip, EveryTruncationIsRefusedWithOneLine) {
  const auto archive = two_records();
  for (size_t length = 0; length < archive.size(); ++length) {
    const std::string error = zip_error({archive.begin(), archive.begin() + static_cast<ptrdiff_t>(length)});
    EXPECT_NE(error, "first") << "cut to " << length;
    EXPECT_EQ(error.find('\n'), std::string::npos);
    if (length >= 14) {
      EXPECT_NE(error.find("truncated"), std::string::npos) << "cut to " << length << ": " << error;
    }
  }
}

TEST(Zip, AFlippedBitNeverGivesOtherContent) {
  const auto archive = two_records();
  for (size_t bit = 0; bit < archive.size() * 8; ++bit) {
    auto damaged = archive;
    damaged[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    const std::string text = text_of(damaged, "data/0");
    // Bits that nobody reads (padding, versions) may flip; all others give an error.
    EXPECT_TRUE(text == "second record" || text.find(' ') != std::string::npos) << "bit " << bit << ": " << text;
  }
}

TEST(Zip, ADamagedRecordIsToldByItsChecksum) {
  auto archive = two_records();
  const std::string text(archive.begin(), archive.end());
  archive[text.find("second")] = 'S';
  EXPECT_EQ(text_of(archive, "data/0"), "is corrupt: the checksum of its record data/0 does not match");
  EXPECT_EQ(text_of(archive, "data.pkl"), "first");
}

TEST(Zip, OtherFilesAreToldApart) {
  EXPECT_EQ(zip_error({}), "is empty");
  EXPECT_EQ(zip_error(std::vector<uint8_t>(5000, 1)), "is no PyTorch checkpoint");
}

TEST(Zip, CompressedAndEncryptedRecordsAreRefusedByName) {
  EXPECT_NE(text_of(with_entry_field<2>(two_records(), 10, 8), "data/0").find("data/0 is compressed"),
            std::string::npos);
  EXPECT_NE(zip_error(with_entry_field<2>(two_records(), 8, 1)).find("data/0 is encrypted"), std::string::npos);
}

TEST(Zip, RecordsBeyondTheFileAreRefused) {
  EXPECT_NE(zip_error(with_entry_field<4>(two_records(), 24, 0x7fffffff)).find("overlap"), std::string::npos);
  const auto moved = with_entry_field<4>(two_records(), 42, 0x7fffffff);
  EXPECT_NE(text_of(moved, "data/0").find("lies outside the file"), std::string::npos);
}

TEST(Zip, ASizeThatIsOnlyInAMissingZip64FieldIsRefused) {
  EXPECT_NE(zip_error(with_entry_field<4>(two_records(), 24, 0xffffffff)).find("lacks its zip64 sizes"),
            std::string::npos);
}

TEST(Zip, DoubledNamesAndSecondRootsAreRefused) {
  MemorySink doubled;
  ZipWriter zip(doubled, "root");
  EXPECT_TRUE(zip.add("data.pkl", as_bytes("one")).ok());
  EXPECT_TRUE(zip.add("data.pkl", as_bytes("two")).ok());
  EXPECT_TRUE(zip.finish().ok());
  EXPECT_NE(zip_error(doubled.bytes()).find("appears twice"), std::string::npos);

  auto renamed = two_records();
  const std::string text(renamed.begin(), renamed.end());
  renamed[text.rfind("root/data/0")] = 'R';
  EXPECT_NE(zip_error(renamed).find("root folder"), std::string::npos);
}

}  // namespace
}  // namespace ferrun::checkpoint
