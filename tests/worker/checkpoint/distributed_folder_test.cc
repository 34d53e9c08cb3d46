#include "worker/checkpoint/distributed_folder.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/temporary_directory.h"
#include "worker/checkpoint/reader.h"

namespace ferrun::checkpoint {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Value content() {
  return Dict{{"model", Dict{{"weight", at::arange(12.0).view({3, 4}).t()}, {"step", at::full({}, 3, at::kLong)}}},
              {"groups", List{Dict{{"lr", 0.1}, {"params", List{"weight"}}}}},
              {"mixed", List{1, at::full({2}, 1.0), List{2, 3}}},
              {"numbers", List{1, List{2}}},
              {"pair", Tuple{{0.9, 0.99}}},
              {"none", Value()},
              {"by_number", Dict{{int64_t{7}, at::empty({0, 2})}}}};
}

class DistributedFolder : public ::testing::Test {
 protected:
  std::string folder() const { return directory.path().string(); }
  void write(const Value& value, int world_size) {
    ASSERT_TRUE(begin_distributed(folder()).ok());
    const auto entries = distributed_entries(value);
    ASSERT_TRUE(entries.ok()) << entries.error().message;
    const std::vector<int> writers = distributed_writers(*entries, world_size);
    std::vector<DistributedItem> all;
    for (int rank = 0; rank < world_size; ++rank) {
      std::vector<DistributedEntry> own;
      for (size_t i = 0; i < writers.size(); ++i) {
        if (writers[i] == rank) own.push_back((*entries)[i]);
      }
      auto items = write_distributed(folder(), rank, own);
      ASSERT_TRUE(items.ok()) << items.error().message;
      all.insert(all.end(), items->begin(), items->end());
    }
    EXPECT_FALSE(is_distributed(folder())) << "it is none before all is there";
    ASSERT_TRUE(finish_distributed(folder(), all).ok());
  }
  std::string error() {
    const auto read = read_distributed(folder());
    return read ? "" : read.error().message;
  }

  testing::TemporaryDirectory directory;
};

TEST_F(DistributedFolder, AnyWorldsFolderIsRead) {
  for (const int world_size : {1, 2, 5, 20}) {
    write(content(), world_size);
    const auto back = read(folder());
    ASSERT_TRUE(back.ok()) << back.error().message;
    const auto tensor = [&](const char* part, const char* name) {
      return *back->find(part)->find(name)->get<at::Tensor>();
    };
    EXPECT_TRUE(tensor("model", "weight").equal(at::arange(12.0).view({3, 4}).t()));
    EXPECT_EQ(tensor("model", "step").item<int64_t>(), 3);
    EXPECT_EQ(tensor("by_number", "7").sizes(), at::IntArrayRef({0, 2}));
    const Value& group = back->find("groups")->get<List>()->at(0);
    EXPECT_EQ(*group.find("lr")->get<double>(), 0.1);
    EXPECT_EQ(*group.find("params")->get<List>()->at(0).get<std::string>(), "weight");
    const List& mixed = *back->find("mixed")->get<List>();
    EXPECT_EQ(*mixed.at(0).get<int64_t>(), 1);
    EXPECT_TRUE(mixed.at(1).get<at::Tensor>()->equal(at::full({2}, 1.0)));
    EXPECT_EQ(mixed.at(2).get<List>()->size(), 2u);
    EXPECT_EQ(*back->find("pair")->get<Tuple>()->items[1].get<double>(), 0.99);
    EXPECT_TRUE(back->find("none")->is_none());
  }
}

TEST_F(DistributedFolder, ChunksBecomeOneTensor) {
  const at::Tensor whole = at::arange(15.0).view({5, 3});
  std::vector<DistributedItem> all{{"w", {"w"}, DistributedTensor{ElementType::kFloat32, {5, 3}, {}}}};
  for (int rank = 0; rank < 2; ++rank) {
    const int64_t begin = rank * 3, end = rank == 0 ? 3 : 5;
    auto items = write_distributed(folder(), rank, {{{"w"}, whole.slice(0, begin, end)}});
    ASSERT_TRUE(items.ok()) << items.error().message;
    DistributedChunk chunk = std::get<DistributedTensor>((*items)[0].held).chunks[0];
    chunk.offsets[0] = begin;
    std::get<DistributedTensor>(all[0].held).chunks.push_back(chunk);
  }
  ASSERT_TRUE(finish_distributed(folder(), all).ok());
  EXPECT_TRUE(read(folder())->find("w")->get<at::Tensor>()->equal(whole));

  // What .metadata says and what the files hold differ.
  auto& tensor = std::get<DistributedTensor>(all[0].held);
  const auto told = [&](auto&& change) {
    DistributedTensor kept = tensor;
    change(tensor);
    EXPECT_TRUE(finish_distributed(folder(), all).ok());
    tensor = kept;
    return error();
  };
  EXPECT_THAT(told([](DistributedTensor& t) { t.type = ElementType::kInt32; }),
              AllOf(HasSubstr("__0_0.distcp"), HasSubstr("'w' is not what its .metadata says")));
  EXPECT_THAT(told([](DistributedTensor& t) { std::swap(t.chunks[0].place, t.chunks[1].place); }), HasSubstr("'w'"));
  EXPECT_THAT(told([](DistributedTensor& t) { t.chunks[1].place.length += 1; }), HasSubstr("truncated"));
  EXPECT_THAT(told([](DistributedTensor& t) { t.chunks[1].place.file = "none"; }), HasSubstr("/none cannot be opened"));
  EXPECT_THAT(told([](DistributedTensor& t) { t.chunks[1].place = t.chunks[0].place; }), HasSubstr("truncated"));
  EXPECT_THAT(told([](DistributedTensor& t) {
                t.sizes[0] = int64_t{1} << 40;
                t.chunks = {{{0, 0}, {int64_t{1} << 40, 3}, t.chunks[0].place}};
              }),
              HasSubstr("larger than what is there of it"));
}

TEST_F(DistributedFolder, ADamagedFolderIsToldInOneLine) {
  write(content(), 2);
  std::filesystem::resize_file(directory.file("__1_0.distcp"), 100);
  EXPECT_THAT(error(), HasSubstr("__1_0.distcp is truncated"));
  std::ofstream(directory.file(".metadata")) << "x";
  EXPECT_THAT(error(), HasSubstr(".metadata"));
  std::filesystem::remove(directory.file(".metadata"));
  EXPECT_THAT(read(folder()).error().message, HasSubstr("is a folder"));
}

TEST_F(DistributedFolder, WhatHasNoPlaceIsRefused) {
  const auto written = write_distributed(folder(), 0, {{{"a"}, 1}, {{"b"}, 2}, {{"c"}, 3}});
  ASSERT_TRUE(written.ok()) << written.error().message;
  const auto told = [&](const std::vector<std::vector<PathStep>>& paths) {
    auto items = *written;
    items.resize(paths.size());
    for (size_t i = 0; i < paths.size(); ++i) items[i].path = paths[i];
    EXPECT_TRUE(finish_distributed(folder(), items).ok());
    return error();
  };
  EXPECT_EQ(told({{"a", int64_t{1}}, {"a", int64_t{0}}, {"b", "c"}}), "");
  EXPECT_THAT(told({{"a"}, {"a"}}), HasSubstr("'b' has no place"));
  EXPECT_THAT(told({{"a"}, {"a", "b"}}), HasSubstr("'b' has no place"));
  EXPECT_THAT(told({{"a", "b"}, {"a"}}), HasSubstr("'b' has no place"));
  EXPECT_THAT(told({{"a", "b"}, {"a", int64_t{0}}}), HasSubstr("'b' has no place"));
  EXPECT_THAT(told({{"a", int64_t{1} << 40}}), HasSubstr("a list with holes"));
  EXPECT_THAT(told({{int64_t{1} << 40}}), HasSubstr("a list with holes"));
}

TEST(DistributedEntries, OfOneNameAreRefused) {
  EXPECT_THAT(distributed_entries(Dict{{"a.b", 1}, {"a", Dict{{"b", 2}}}}).error().message, HasSubstr("called a.b"));
  EXPECT_THAT(distributed_entries(Dict{{0.5, 1}}).error().message, HasSubstr("neither a text nor a whole number"));
  EXPECT_FALSE(distributed_entries(List{1}).ok());
}

TEST(DistributedEntries, AreSharedByTheirBytes) {
  std::vector<DistributedEntry> entries;
  for (const int64_t size : {1, 5, 100, 60, 50}) entries.push_back({{"x"}, at::empty({size})});
  EXPECT_EQ(distributed_writers(entries, 2), (std::vector<int>{0, 0, 0, 1, 1}));
}

}  // namespace
}  // namespace ferrun::checkpoint
