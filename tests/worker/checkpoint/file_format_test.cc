#include "worker/checkpoint/file_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/temporary_directory.h"
#include "tests/worker/checkpoint/archives.h"
#include "worker/checkpoint/archive_reader.h"
#include "worker/checkpoint/checkpoint_folder.h"

namespace ferrun::checkpoint {
namespace {

using ::testing::HasSubstr;
using namespace std::string_literals;

std::string refusal_of(const std::string& text) {
  const MemorySource source(as_bytes(text));
  auto archive = open_archive(source);
  EXPECT_FALSE(archive.ok());
  if (archive) return "";
  EXPECT_EQ(archive.error().message.find('\n'), std::string::npos) << archive.error().message;
  return archive.error().message;
}

TEST(FileFormat, WhatIsNoCheckpointIsNamedWithItsRemedy) {
  EXPECT_EQ(refusal_of(""), "is empty");
  EXPECT_THAT(refusal_of("version https://git-lfs.github.com/spec/v1\noid sha256:77\nsize 7268315\n"),
              HasSubstr("git lfs pull"));
  EXPECT_THAT(refusal_of("\n<!DOCTYPE html><html><title>Virus scan warning</title></html>"), HasSubstr("web page"));
  EXPECT_THAT(refusal_of("<HTML>"), HasSubstr("web page"));
  EXPECT_THAT(refusal_of("\x89HDF\r\n\x1a\n" + std::string(100, '\0')), HasSubstr("HDF5"));
  EXPECT_THAT(refusal_of("\x08\x07\x12\x07pytorch\x1a\x05" + std::string(100, '\1')), HasSubstr("ONNX"));
  EXPECT_THAT(refusal_of("\x08\x09:\x83\x12"), HasSubstr("ONNX"));
  EXPECT_THAT(refusal_of("PK\x03\x04" + std::string(100, 'x')), HasSubstr("truncated"));
  EXPECT_THAT(refusal_of("\xff\xd8\xff\xe0 a face"), HasSubstr("picture"));
  EXPECT_THAT(refusal_of("\x1f\x8b\x08"), HasSubstr("gunzip"));
  EXPECT_THAT(refusal_of("\x80\x04\x95 a pickle"), HasSubstr("pickle"));
  EXPECT_THAT(refusal_of("epoch,loss\n1,0.5\n"),
              HasSubstr("text file, not a checkpoint (it begins 'epoch,loss 1,0.5 ')"));
  EXPECT_EQ(refusal_of("\x01\x02\x03"s), "is no PyTorch checkpoint");
}

TEST(FileFormat, EveryShortFileIsRefused) {
  for (const std::string& whole :
       {"\x89HDF\r\n\x1a\n"s, "version https://git-lfs.github.com/spec/v1"s, "\x08\x07\x12\x07pytorch"s, "PK\x03\x04"s,
        "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."s}) {
    for (size_t length = 0; length <= whole.size(); ++length) EXPECT_NE(refusal_of(whole.substr(0, length)), "");
  }
}

TEST(FileFormat, AFolderIsToldByWhatIsInIt) {
  const testing::TemporaryDirectory folder;
  EXPECT_EQ(describe_folder(folder.path()).message, "is a folder, not a file");
  for (const int64_t step : {25, 50}) std::ofstream(folder.file(checkpoint_name(step))) << "weights";
  EXPECT_EQ(describe_folder(folder.path()).message,
            "is a folder of checkpoints: name the file, the latest is " + folder.file("step-00000050.pt"));
  std::ofstream(folder.path() / "last_model.pt") << "x";
  EXPECT_THAT(describe_folder(folder.path()).message, HasSubstr("last_model.pt"));
  std::ofstream(folder.path() / ".metadata") << "x";
  EXPECT_THAT(describe_folder(folder.path()).message, HasSubstr("dcp_to_torch"));
  auto opened = open_file_source(folder.path());
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(opened.error().message, HasSubstr("dcp_to_torch"));
}

}  // namespace
}  // namespace ferrun::checkpoint
