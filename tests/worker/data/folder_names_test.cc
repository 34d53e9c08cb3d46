#include "worker/data/folder_names.h"

#include <gtest/gtest.h>

namespace ferrun::data {
namespace {

TEST(FolderNames, Utf8IsWhatPythonTakesForIt) {
  EXPECT_TRUE(is_utf8("happy"));
  EXPECT_TRUE(is_utf8("fâché 日本 🙂"));
  EXPECT_FALSE(is_utf8("gai\xe9"));
  EXPECT_FALSE(is_utf8("\xe6\x97"));      // cut short
  EXPECT_FALSE(is_utf8("\xed\xa0\x80"));  // a surrogate
  EXPECT_FALSE(is_utf8("\xc0\xaf"));      // overlong
}

TEST(FolderNames, ComposedIsEqualForWhatLooksEqual) {
  EXPECT_EQ(composed("fa\u0302che\u0301"), "fâché");
  EXPECT_EQ(composed("fâché"), "fâché");
  EXPECT_NE(composed("fache"), composed("fâché"));
  EXPECT_EQ(composed("\u1112\u1161\u11ab"), "한");
}

TEST(FolderNames, PrintableEscapesWhatIsNoUtf8) {
  EXPECT_EQ(printable("gai\xe9/1.jpg"), "gai\\xe9/1.jpg");
  EXPECT_EQ(printable("fâché"), "fâché");
}

TEST(FolderNames, WhatProgramsLeaveBehind) {
  for (const char* name : {".ipynb_checkpoints", ".DS_Store", "._0001.jpg", "__MACOSX"})
    EXPECT_TRUE(is_left_by_programs(name)) << name;
  for (const char* name : {"a", "_", "x.y", "MACOSX"}) EXPECT_FALSE(is_left_by_programs(name)) << name;
}

TEST(FolderNames, NumbersSortedAsText) {
  EXPECT_TRUE(are_misordered_numbers({"0", "1", "10", "2"}));
  EXPECT_FALSE(are_misordered_numbers({"0", "1", "2"}));
  EXPECT_FALSE(are_misordered_numbers({"00", "01", "10"}));
  EXPECT_FALSE(are_misordered_numbers({"0", "1", "10", "a"}));
}

}  // namespace
}  // namespace ferrun::data
