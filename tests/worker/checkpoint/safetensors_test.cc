#include "worker/checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/checkpoint/archives.h"
#include "worker/checkpoint/zip_format.h"

namespace ferrun::checkpoint {
namespace {

using ::testing::HasSubstr;

std::string file_of(const std::string& header, const std::string& data) {
  std::string bytes;
  zip::put<8>(bytes, header.size());
  return bytes + header + data;
}

std::string safetensors_error(const std::string& bytes) {
  const MemorySource source(as_bytes(bytes));
  auto archive = open_archive(source);
  if (archive) return "";
  EXPECT_EQ(archive.error().message.find('\n'), std::string::npos) << archive.error().message;
  return archive.error().message;
}

TEST(Safetensors, WhatIsWrittenComesBack) {
  const std::vector<float> values{1.5f, -2.0f};
  const std::vector<int64_t> count{7};
  const StoredTensor counter{ElementType::kInt64, "", 8, 0, {}, {}};
  MemorySink sink;
  const auto bytes_of = [](const auto& list) {
    return std::span(reinterpret_cast<const uint8_t*>(list.data()), list.size() * sizeof list[0]);
  };
  ASSERT_TRUE(write_safetensors(
                  sink, {{"a.weight", float_vector("", 2), bytes_of(values)}, {"steps", counter, bytes_of(count)}},
                  {{"format", "pt"}})
                  .ok());
  EXPECT_EQ(zip::get<8>(sink.bytes(), 0) % 8, 0U) << "tensors are aligned";
  const MemorySource source(sink.bytes());
  auto archive = open_archive(source);
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  EXPECT_EQ(*archive->tree.find("metadata")->find("format")->get<std::string>(), "pt");
  const auto* weight = archive->tree.find("state_dict")->find("a.weight")->get<StoredTensor>();
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->sizes, std::vector<int64_t>{2});
  std::vector<float> back(2);
  ASSERT_TRUE(archive->storages->read(weight->storage_key, {reinterpret_cast<uint8_t*>(back.data()), 8}).ok());
  EXPECT_EQ(back, values);
  EXPECT_TRUE(archive->tree.find("state_dict")->find("steps")->get<StoredTensor>()->sizes.empty());
}

TEST(Safetensors, ADamagedFileIsRefusedInOneLine) {
  const auto entry = [](const std::string& fields) { return file_of("{\"w\":{" + fields + "}}", std::string(8, 'x')); };
  EXPECT_EQ(safetensors_error(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])")), "");
  EXPECT_THAT(safetensors_error(entry(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])")), HasSubstr("beyond"));
  EXPECT_THAT(safetensors_error(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,9])")), HasSubstr("outside"));
  EXPECT_THAT(safetensors_error(entry(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])")), HasSubstr("outside"));
  EXPECT_THAT(safetensors_error(entry(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])")), HasSubstr("no shape"));
  EXPECT_THAT(safetensors_error(entry(R"("dtype":"F32","shape":[4611686018427387904,4611686018427387904,0],)"
                                      R"("data_offsets":[0,8])")),
              HasSubstr("does not fit"));
  EXPECT_THAT(safetensors_error(entry(R"("dtype":"F4","shape":[2],"data_offsets":[0,8])")), HasSubstr("F4"));
  EXPECT_THAT(safetensors_error(entry(R"("shape":[2])")), HasSubstr("no dtype"));
  EXPECT_THAT(safetensors_error(file_of("{\"w\":3}", "")), HasSubstr("no dtype"));
  EXPECT_THAT(safetensors_error(file_of("{\"__metadata__\":3}", "")), HasSubstr("metadata"));
  EXPECT_THAT(safetensors_error(file_of("{nonsense", "")), HasSubstr("no JSON object"));
  std::string longer = file_of("{\"a\":1}", "");
  longer[0] = 100;
  EXPECT_THAT(safetensors_error(longer), HasSubstr("ends within its header"));
}

}  // namespace
}  // namespace ferrun::checkpoint
