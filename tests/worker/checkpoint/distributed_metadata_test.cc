#include "worker/checkpoint/distributed_metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/checkpoint/pickle_emitter.h"
#include "worker/checkpoint/pickle_reader.h"

namespace ferrun::checkpoint {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::span<const uint8_t> as_bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

DistributedItem sharded() {
  DistributedTensor tensor{ElementType::kBFloat16, {3, 4}, {}};
  tensor.chunks.push_back({{0, 0}, {2, 4}, {"__0_0.distcp", 100, 400}});
  tensor.chunks.push_back({{2, 0}, {1, 4}, {"__1_0.distcp", 0, 300}});
  return {"model.0.weight", {"model", "0.weight"}, tensor};
}

DistributedItem object() {
  return {"list.2.a", {"list", int64_t{2}, "a"}, DistributedPlace{"__0_0.distcp", 5000000000, 7}};
}

std::string error_of(const std::vector<DistributedItem>& items) {
  const auto read = read_metadata(as_bytes(write_metadata(items)));
  return read ? "" : read.error().message;
}

TEST(DistributedMetadata, WhatIsWrittenIsRead) {
  const DistributedItem scalar{"step", {"step"}, DistributedTensor{ElementType::kInt64, {}, {{{}, {}, {"a", 0, 1}}}}};
  const DistributedItem empty{"none", {"none"}, DistributedTensor{ElementType::kFloat32, {0, 3}, {}}};
  const std::vector<DistributedItem> items{sharded(), object(), scalar, empty};
  const auto read = read_metadata(as_bytes(write_metadata(items)));
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(*read, items);
  EXPECT_EQ(read_metadata(as_bytes(write_metadata({})))->size(), 0u);
}

// Each item is sound but for one thing.
TEST(DistributedMetadata, WhatContradictsItselfIsToldInOneLine) {
  const auto changed = [](auto&& change) {
    DistributedItem item = sharded();
    change(std::get<DistributedTensor>(item.held));
    return error_of({item});
  };
  EXPECT_EQ(changed([](DistributedTensor&) {}), "");
  EXPECT_THAT(changed([](DistributedTensor& t) { t.sizes[0] = 4; }),
              AllOf(HasSubstr("'model.0.weight'"), HasSubstr("not the whole tensor")));
  EXPECT_THAT(changed([](DistributedTensor& t) { t.sizes[0] = 1; }), HasSubstr("a chunk beyond its tensor"));
  EXPECT_THAT(changed([](DistributedTensor& t) {
                t.sizes[0] = 4;
                t.chunks[1] = {{1, 0}, {2, 4}, t.chunks[1].place};
              }),
              HasSubstr("chunks that overlap"));
  EXPECT_THAT(changed([](DistributedTensor& t) { t.chunks[1].offsets = {2}; }), HasSubstr("other dimensions"));
  EXPECT_THAT(changed([](DistributedTensor& t) { t.chunks[1].sizes[0] = -1; }), HasSubstr("without a size"));
  EXPECT_THAT(changed([](DistributedTensor& t) {
                t.sizes = {int64_t{1} << 40, int64_t{1} << 40};
              }),
              HasSubstr("too many elements"));
  for (const char* file : {"", ".", "..", "../up", "/etc/passwd", "a/b"}) {
    EXPECT_THAT(changed([&](DistributedTensor& t) { t.chunks[0].place.file = file; }),
                HasSubstr("a place that is none"))
        << file;
  }
  EXPECT_THAT(error_of({sharded(), sharded()}), HasSubstr("twice"));
  DistributedItem deep = object();
  deep.path.assign(100, "a");
  EXPECT_THAT(error_of({deep}), HasSubstr("no path"));
  deep.path = {"list", int64_t{-1}};
  EXPECT_THAT(error_of({deep}), HasSubstr("no path"));
}

TEST(DistributedMetadata, OtherFilesAreRefused) {
  pickle::PickleEmitter other;
  other.integer(3);
  EXPECT_THAT(read_metadata(as_bytes(other.finish())).error().message, HasSubstr("no metadata"));
  EXPECT_FALSE(read_metadata({}).ok());
  const std::string whole = write_metadata({sharded(), object()});
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(read_metadata(as_bytes(whole.substr(0, length))).ok()) << length;
  }
}

TEST(ObjectPickle, ObjectsAreKeptAndNothingElseIsDone) {
  // {"a": os.system("true")} and an object with a state, by protocol 4.
  constexpr char kPickle[] =
      "\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}(\x8c\x01"
      "a\x94\x8c\x02os\x94\x8c\x06system\x94\x93\x94"
      "\x8c\x04true\x85R\x8c\x01"
      "b\x8c\x01m\x8c\x01"
      "C\x93)\x81K\x07"
      "bu.";
  const std::string bytes(kPickle, sizeof kPickle - 1);
  const auto tree = read_object_pickle(as_bytes(bytes));
  ASSERT_TRUE(tree.ok()) << tree.error().message;
  EXPECT_EQ(tree->find("a")->get<Opaque>()->qualified_name, "os.system");
  EXPECT_EQ(tree->find("b")->find(kClassKey)->get<Opaque>()->qualified_name, "m.C");
  EXPECT_EQ(*tree->find("b")->find(kStateKey)->get<int64_t>(), 7);
  EXPECT_THAT(read_pickle(as_bytes(bytes)).error().message, HasSubstr("protocol 4"));
}

}  // namespace
}  // namespace ferrun::checkpoint
