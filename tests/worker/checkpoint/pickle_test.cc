#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/worker/checkpoint/archives.h"
#include "worker/checkpoint/pickle_reader.h"
#include "worker/checkpoint/pickle_writer.h"

namespace ferrun::checkpoint {
namespace {

using namespace std::string_literals;

Result<StoredTree> read(const std::string& pickle) { return read_pickle(as_bytes(pickle)); }

std::string error_of(const std::string& pickle) {
  auto tree = read(pickle);
  return tree ? "" : tree.error().message;
}

StoredTree round_trip(const StoredTree& tree) {
  auto pickle = write_pickle(tree);
  EXPECT_TRUE(pickle.ok());
  auto back = read(*pickle);
  EXPECT_TRUE(back.ok()) << back.error().message;
  return back.ok() ? *back : StoredTree();
}

template <typename T>
void expect_kept(const T& value) {
  const StoredTree tree = round_trip(value);
  ASSERT_NE(tree.get<T>(), nullptr);
  EXPECT_EQ(*tree.get<T>(), value);
}

// persistent_load(("storage", torch.FloatStorage, "0", "cpu", elements)) on the stack.
std::string storage(const std::string& elements, const std::string& storage_class = "FloatStorage") {
  return "(X\7\0\0\0storagectorch\n"s + storage_class + "\nX\1\0\0\0"s + "0X\3\0\0\0cpu"s + elements + "tQ";
}

TEST(Pickle, PlainValuesComeBack) {
  expect_kept(true);
  expect_kept(false);
  expect_kept("größer"s);
  expect_kept(""s);
  expect_kept(0.1);
  expect_kept(-std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(*round_trip(std::nan("")).get<double>()));
  EXPECT_TRUE(round_trip(StoredTree()).is_none());
}

TEST(Pickle, IntegersOfEveryWidthComeBack) {
  for (int64_t value : {int64_t{0}, int64_t{-1}, int64_t{255}, int64_t{256}, int64_t{65535}, int64_t{65536},
                        int64_t{1} << 31, -(int64_t{1} << 31), -(int64_t{1} << 31) - 1, int64_t{1} << 47,
                        std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()}) {
    expect_kept(value);
  }
}

TEST(Pickle, ShortLongsHaveASign) {
  EXPECT_EQ(*read("\x80\2\x8a\0."s)->get<int64_t>(), 0);
  EXPECT_EQ(*read("\x80\2\x8a\1\xff."s)->get<int64_t>(), -1);
  EXPECT_EQ(*read("\x80\2\x8a\5\0\0\0\x80\0."s)->get<int64_t>(), int64_t{1} << 31);
  EXPECT_NE(read("\x80\2\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\0."s)->get<Opaque>(), nullptr);
}

TEST(Pickle, ContainersComeBackInOrder) {
  const StoredTree tree = round_trip(StoredTree::Dict{{"z", StoredTree::List{1, "two", StoredTree()}},
                                                      {7, StoredTree::Tuple{{1, 2, 3, 4}}},
                                                      {"a", StoredTree::Tuple{}},
                                                      {"z2", StoredTree::Dict{}}});
  const auto& dict = *tree.get<StoredTree::Dict>();
  ASSERT_EQ(dict.size(), 4u);
  EXPECT_EQ(*dict[0].first.get<std::string>(), "z");
  EXPECT_EQ(dict[0].second.get<StoredTree::List>()->size(), 3u);
  EXPECT_EQ(*dict[1].first.get<int64_t>(), 7);
  EXPECT_EQ(dict[1].second.get<StoredTree::Tuple>()->items.size(), 4u);
  EXPECT_TRUE(dict[2].second.get<StoredTree::Tuple>()->items.empty());
  EXPECT_NE(tree.find("z2"), nullptr);
  EXPECT_EQ(tree.find("nothing"), nullptr);
}

TEST(Pickle, ManyDifferentTextsNeedLongMemoIndices) {
  StoredTree::List texts;
  for (int i = 0; i < 1000; ++i) texts.push_back("text " + std::to_string(i % 600));
  const StoredTree tree = round_trip(texts);
  for (size_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(*(*tree.get<StoredTree::List>())[i].get<std::string>(), "text " + std::to_string(i % 600));
  }
}

TEST(Pickle, TensorsComeBackWithTheirLayout) {
  const StoredTensor given{ElementType::kBFloat16, "3", 48, 2, {2, 3}, {1, 4}};
  const StoredTree tree = round_trip(given);
  const StoredTensor* tensor = tree.get<StoredTensor>();
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->type, given.type);
  EXPECT_EQ(tensor->storage_key, "3");
  EXPECT_EQ(tensor->storage_bytes, 48u);
  EXPECT_EQ(tensor->storage_offset, 2);
  EXPECT_EQ(tensor->sizes, given.sizes);
  EXPECT_EQ(tensor->strides, given.strides);
}

TEST(Pickle, ClassesAreKeptByNameAndNeverCalled) {
  const auto tree = read(
      "\x80\2"
      "cos\nsystem\n(X\4\0\0\0trueK\1tR."s);
  ASSERT_TRUE(tree.ok());
  EXPECT_EQ(tree->get<Opaque>()->qualified_name, "os.system");
  // NEWOBJ with a state that BUILD would set, and items.
  const auto object = read(
      "\x80\2"
      "cargparse\nNamespace\n)\x81}b(X\1\0\0\0aK\1u."s);
  ASSERT_TRUE(object.ok()) << object.error().message;
  EXPECT_EQ(object->get<Opaque>()->qualified_name, "argparse.Namespace");
}

TEST(Pickle, AnOrderedDictIsADictAndItsMetadataIsDropped) {
  const auto tree = read(
      "\x80\2"
      "ccollections\nOrderedDict\n)R(X\1\0\0\0aK\1u}X\t\0\0\0_metadata}sb."s);
  ASSERT_TRUE(tree.ok()) << tree.error().message;
  EXPECT_EQ(*tree->find("a")->get<int64_t>(), 1);
  EXPECT_EQ(tree->get<StoredTree::Dict>()->size(), 1u);
}

TEST(Pickle, TensorsBeyondTheirStorageAreRefused) {
  const auto with = [](const std::string& elements, const std::string& layout) {
    return error_of(
        "\x80\2"
        "ctorch._utils\n_rebuild_tensor_v2\n("s +
        storage(elements) + layout + "\x89)tR."s);
  };
  EXPECT_EQ(with("K\4", "K\0K\4\x85K\1\x85"s), "");
  EXPECT_NE(with("K\4", "K\1K\4\x85K\1\x85"), "");                 // one past the end
  EXPECT_NE(with("K\4", "K\0K\4\x85K\2\x85"s), "");                // stride
  EXPECT_NE(with("K\4", "J\xff\xff\xff\xffK\1\x85K\1\x85"), "");   // negative offset
  EXPECT_NE(with("K\4", "K\0J\xff\xff\xff\xff\x85K\1\x85"s), "");  // negative size
  EXPECT_NE(with("K\4", "K\0K\2\x85J\xff\xff\xff\xff\x85"s), "");  // negative stride
  EXPECT_NE(with("K\4", "K\0K\2K\2\x86K\1\x85"s), "");             // sizes without strides
  const std::string huge = "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
  EXPECT_NE(with("K\4", "K\0" + huge + "K\4\x86K\0K\0\x86"s), "");  // more elements than numbers
  EXPECT_NE(with("K\4", "K\0K\2\x85" + huge + "\x85"s), "");        // overflowing reach
  EXPECT_NE(with(huge, "K\0K\1\x85K\1\x85"s), "");                  // a storage without end
}

TEST(Pickle, UnknownStorageKindsAreNamed) {
  EXPECT_NE(error_of("\x80\2"s + storage("K\1", "QInt8Storage") + ".").find("torch.QInt8Storage"), std::string::npos);
}

TEST(Pickle, OtherProtocolsAreRefusedByNumber) {
  EXPECT_NE(error_of("\x80\4\x95"s).find("protocol 4"), std::string::npos);
}

TEST(Pickle, BrokenPicklesAreRefusedWithOneLine) {
  for (const std::string& broken : {""s, "\x80"s, "\x80\2"s, "\x80\2."s, "\x80\2u."s, "\x80\2(u."s, "\x80\2}(K\1u."s,
                                    "\x80\2K\1a."s, "\x80\2h\0."s, "\x80\2q\0."s, "\x80\2X\xff\xff\xff\xff."s,
                                    "\x80\2\x85."s, "\x80\2K\1K\2."s, "\x80\2\xff."s, "\x80\2(K\1R."s, "\x80\2K\1Q."s,
                                    "\x80\2"
                                    "cabc"s,
                                    "\x80\2"
                                    "0."s,
                                    "\x80\2"
                                    "1."s}) {
    const std::string error = error_of(broken);
    EXPECT_NE(error, "") << ::testing::PrintToString(broken);
    EXPECT_EQ(error.find('\n'), std::string::npos);
  }
}

TEST(Pickle, AContainerWithinItselfIsRefused) {
  EXPECT_NE(error_of("\x80\2]q\0h\0a."s).find("within themselves"), std::string::npos);
  EXPECT_NE(error_of("\x80\2}q\0X\1\0\0\0ah\0s."s).find("within themselves"), std::string::npos);
}

TEST(Pickle, DeepNestingIsRefused) {
  EXPECT_NE(error_of("\x80\2"s + std::string(100000, ']') + std::string(99999, 'a') + ".").find("deeper"),
            std::string::npos);
}

TEST(Pickle, SharedListsCannotBlowUpTheTree) {
  // Each list holds the one before it ten times: 10^30 values from 900 bytes.
  std::string pickle =
      "\x80\2]q\0"
      "0"s;
  for (char level = 1; level < 30; ++level) {
    pickle += "]q"s + level + "(";
    for (int i = 0; i < 10; ++i) pickle += "h"s + static_cast<char>(level - 1);
    pickle += "e0";
  }
  EXPECT_NE(error_of(pickle + "h\x1d.").find("memory"), std::string::npos);
}

TEST(Pickle, ADoubledKeyIsRefused) {
  EXPECT_NE(error_of("\x80\2}(X\1\0\0\0aK\1X\1\0\0\0aK\2u."s).find("'a' twice"), std::string::npos);
}

TEST(Pickle, ObjectsCannotBeWritten) {
  EXPECT_FALSE(write_pickle(Opaque{"os.system"}).ok());
  EXPECT_FALSE(write_pickle(StoredTensor{ElementType::kUInt16, "0", 2, 0, {1}, {1}}).ok());
}

}  // namespace
}  // namespace ferrun::checkpoint
