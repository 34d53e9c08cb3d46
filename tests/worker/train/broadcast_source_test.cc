#include "worker/train/broadcast_source.h"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <numeric>

#include "tests/temporary_directory.h"
#include "tests/worker/ddp/rank_harness.h"
#include "worker/checkpoint/reader.h"
#include "worker/checkpoint/writer.h"

namespace ferrun::train {
namespace {

using ::testing::Each;
using ::testing::IsEmpty;
using testing::RankHarness;
using ::testing::StrEq;

std::shared_ptr<ddp::ProcessGroup> join_ranks(const ddp::GroupAddress& address) {
  return ddp::ProcessGroup::create(address, {}).value();
}

// Rank 0's memory, in which every range that was asked for is counted; it ends where it is told to.
class CountedSource final : public checkpoint::ByteSource {
 public:
  CountedSource(std::span<const uint8_t> bytes, uint64_t& read, uint64_t readable)
      : bytes_(bytes), read_(read), readable_(readable) {}
  uint64_t size() const override { return bytes_.size(); }
  Status read_at(uint64_t offset, std::span<uint8_t> into) const override {
    if (offset + into.size() > readable_) return Error{ErrorKind::kUser, "ends before its time"};
    read_ += into.size();
    return checkpoint::MemorySource(bytes_).read_at(offset, into);
  }

 private:
  std::span<const uint8_t> bytes_;
  uint64_t& read_;
  uint64_t readable_;
};

std::vector<uint8_t> some_bytes(size_t size) {
  std::vector<uint8_t> bytes(size);
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  return bytes;
}

TEST(BroadcastSource, GivesEveryRankTheSameBytes) {
  const auto body = [](const ddp::GroupAddress& address) -> std::string {
    const auto group = join_ranks(address);
    const std::vector<uint8_t> bytes = some_bytes(500'000);
    uint64_t read = 0;
    const BroadcastSource source(
        group->rank() == 0 ? std::make_unique<CountedSource>(bytes, read, bytes.size()) : nullptr, *group);
    if (source.size() != bytes.size()) return "wrong size";
    const std::pair<uint64_t, size_t> ranges[] = {{0, 512},       {100, 30},     {65'530, 30},   {65'560, 0},
                                                  {300, 400'000}, {499'990, 10}, {499'000, 900}, {500'000, 0}};
    for (const auto& [offset, length] : ranges) {
      std::vector<uint8_t> into(length);
      if (!source.read_at(offset, into)) return "no " + std::to_string(offset);
      if (!std::equal(into.begin(), into.end(), bytes.begin() + static_cast<std::ptrdiff_t>(offset)))
        return "wrong bytes";
    }
    std::vector<uint8_t> beyond(11);
    if (source.read_at(499'990, beyond) || source.read_at(UINT64_MAX, beyond)) return "read beyond the end";
    group->shut_down();
    return "";
  };
  for (const int world_size : {1, 2, 3}) {
    RankHarness ranks;  // a store of its own for each group
    EXPECT_THAT(ranks.run(world_size, body), Each(IsEmpty()));
  }
}

TEST(BroadcastSource, TellsEveryRankWhyRankZeroCannotRead) {
  RankHarness ranks;
  const auto body = [](const ddp::GroupAddress& address) -> std::string {
    const auto group = join_ranks(address);
    const std::vector<uint8_t> bytes = some_bytes(500'000);
    uint64_t read = 0;
    const BroadcastSource source(
        group->rank() == 0 ? std::make_unique<CountedSource>(bytes, read, uint64_t{200'000}) : nullptr, *group);
    std::vector<uint8_t> into(100'000);
    if (!source.read_at(0, into)) return "the beginning was there";
    const Status large = source.read_at(150'000, into);
    const Status small = source.read_at(199'990, std::span(into).first(20));
    if (!source.read_at(0, std::span(into).first(20))) return "the beginning was there still";
    group->shut_down();
    if (large || small) return "read what was not there";
    return large.error().message + "; " + small.error().message;
  };
  EXPECT_THAT(ranks.run(2, body), Each(StrEq("ends before its time; ends before its time")));
}

TEST(BroadcastSource, ACheckpointIsReadOnceByRankZero) {
  at::set_num_threads(1);  // the ranks are forked from here
  const testing::TemporaryDirectory folder;
  const std::string path = (folder.path() / "a.pt").string();
  checkpoint::List tensors;
  for (int i = 0; i < 200; ++i) tensors.emplace_back(at::arange(i, i + 50, at::kFloat));
  tensors.emplace_back(at::arange(0, 1'000'000, at::kFloat));
  ASSERT_TRUE(checkpoint::write_atomically(path, checkpoint::Dict{{"tensors", tensors}}).ok());
  std::ifstream file(path, std::ios::binary);
  const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  RankHarness ranks;
  const auto body = [&](const ddp::GroupAddress& address) -> std::string {
    const auto group = join_ranks(address);
    uint64_t read = 0;
    const BroadcastSource source(
        group->rank() == 0 ? std::make_unique<CountedSource>(bytes, read, bytes.size()) : nullptr, *group);
    const Result<checkpoint::Value> value = checkpoint::read(source, path);
    if (!value) return value.error().message;
    const checkpoint::List& list = *value->find("tensors")->get<checkpoint::List>();
    for (size_t i = 0; i < list.size(); ++i) {
      if (!list[i].get<at::Tensor>()->equal(*tensors[i].get<at::Tensor>())) return "wrong tensor " + std::to_string(i);
    }
    group->shut_down();
    // What finds the records (beginning, directory, pickle) comes on top, at most a quarter of a megabyte.
    if (group->rank() == 0 && read > bytes.size() + (1 << 18)) return "read " + std::to_string(read) + " bytes";
    return "";
  };
  EXPECT_THAT(ranks.run(2, body), Each(IsEmpty()));
}

}  // namespace
}  // namespace ferrun::train
