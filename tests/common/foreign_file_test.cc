#include "common/foreign_file.h"

#include <gtest/gtest.h>

#include <string>

namespace ferrun {
namespace {

using namespace std::string_literals;

std::string what(const std::string& bytes) { return std::string(foreign_file(bytes).value_or(ForeignFile{}).what); }

TEST(ForeignFile, IsToldByItsFirstBytesWithTheRemedy) {
  const auto pointer = foreign_file("version https://git-lfs.github.com/spec/v1\noid sha256:77\nsize 7268315\n");
  ASSERT_TRUE(pointer);
  EXPECT_EQ(pointer->what, "a Git LFS pointer, not the file itself");
  EXPECT_EQ(pointer->remedy, "fetch it with 'git lfs pull'");
  EXPECT_EQ(what("PK\3\4...."), "a ZIP archive");
  EXPECT_EQ(what("\x1f\x8b\x08"), "a gzip archive");
  EXPECT_EQ(what("\xfd\x37zXZ\0"), "an xz archive");
  EXPECT_EQ(what("\x28\xb5\x2f\xfd"), "a zstd archive");
  EXPECT_EQ(what("%PDF-1.7"), "a PDF");
  EXPECT_EQ(what("\0\5\x16\7\0\2"s), "macOS's metadata of another file (AppleDouble)");
}

TEST(ForeignFile, MarkupIsToldApart) {
  const std::string page = "a web page (HTML), as a download that needs a login or a confirmation leaves";
  EXPECT_EQ(what("\xef\xbb\xbf\r\n <!DOCTYPE HTML><title>Sign in</title>"), page);
  EXPECT_EQ(what("<Head><title>Sign in</title>"), page);
  EXPECT_EQ(what("<?xml version=\"1.0\"?><html>"), page);
  EXPECT_EQ(what("<svg/>"), "an SVG");
  EXPECT_EQ(what("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>"), "text (XML)");
}

TEST(ForeignFile, WhatIsNotKnownIsNothing) {
  EXPECT_FALSE(foreign_file(""));
  EXPECT_FALSE(foreign_file("PK"));
  EXPECT_FALSE(foreign_file(" \n"));
  EXPECT_FALSE(foreign_file("\x89PNG\r\n\x1a\n"));
  EXPECT_FALSE(foreign_file(std::string(15, '\0')));
  EXPECT_EQ(what(std::string(16, '\0')), "nothing but zeros, as a copy that broke off leaves");
}

}  // namespace
}  // namespace ferrun
