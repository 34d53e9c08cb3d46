#include "worker/checkpoint/background_writer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/min.h>
#include <gmock/gmock.h>

#include <cerrno>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>

#include "tests/temporary_directory.h"
#include "worker/checkpoint/file_system.h"
#include "worker/checkpoint/reader.h"

namespace ferrun::checkpoint {
namespace {

using ::testing::HasSubstr;

std::string bytes_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// The machine's, which begins a file only when it is told to.
class HeldFiles : public FileSystem {
 public:
  int create(const std::string& path) override {
    std::unique_lock lock(mutex_);
    opened_.wait(lock, [&] { return open_; });
    return refuses ? -ENOSPC : machine().create(path);
  }
  ssize_t write(int descriptor, const void* data, size_t length) override {
    return machine().write(descriptor, data, length);
  }
  int sync(int descriptor) override { return machine().sync(descriptor); }
  int close(int descriptor) override { return machine().close(descriptor); }
  int rename(const std::string& from, const std::string& to) override { return machine().rename(from, to); }
  int link(const std::string& existing, const std::string& added) override { return machine().link(existing, added); }
  int unlink(const std::string& path) override { return machine().unlink(path); }
  int sync_folder(const std::string& folder) override { return machine().sync_folder(folder); }
  std::vector<std::string> list(const std::string& folder, const std::string& prefix) override {
    return machine().list(folder, prefix);
  }
  void let_go() {
    {
      const std::lock_guard lock(mutex_);
      open_ = true;
    }
    opened_.notify_all();
  }

  bool refuses = false;

 private:
  static FileSystem& machine() { return machine_file_system(); }
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

class BackgroundWriterTest : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return directory.file(name); }
  WriteOptions held() {
    WriteOptions options;
    options.files = &files;
    return options;
  }
  testing::TemporaryDirectory directory;
  HeldFiles files;
};

TEST_F(BackgroundWriterTest, WritesTheBytesOfTheMomentInWhichItWasAsked) {
  const at::Tensor weights = at::arange(24.0).view({1, 2, 3, 4}).contiguous(at::MemoryFormat::ChannelsLast);
  // One element a pixel: contiguous in both orders, with strides of its own.
  const at::Tensor points = at::arange(6.0).view({2, 3, 1, 1}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor strided = points.as_strided(points.sizes(), {3, 1, 3, 3});
  const Value value = Dict{{"epoch", 3}, {"weights", weights}, {"points", strided}};
  ASSERT_TRUE(write_atomically(path("at_once.pt"), value));
  BackgroundWriter writer;
  ASSERT_TRUE(writer.write(path("later.pt"), value, held()));
  weights.fill_(7);  // the training goes on
  EXPECT_FALSE(std::filesystem::exists(path("later.pt")));
  files.let_go();
  ASSERT_TRUE(writer.finish());
  EXPECT_EQ(bytes_of(path("later.pt")), bytes_of(path("at_once.pt")));
}

TEST_F(BackgroundWriterTest, FilesComeInTheOrderInWhichTheyWereGiven) {
  BackgroundWriter writer;
  ASSERT_TRUE(writer.write(path("first.pt"), Dict{{"a", at::full({2}, 1.0)}}, held()));
  ASSERT_TRUE(writer.write(path("second.pt"), Dict{{"a", at::full({2}, 2.0)}}));
  EXPECT_FALSE(std::filesystem::exists(path("second.pt"))) << "it waits for the first";
  files.let_go();
  ASSERT_TRUE(writer.finish());
  EXPECT_TRUE(std::filesystem::exists(path("first.pt")));
  EXPECT_TRUE(std::filesystem::exists(path("second.pt")));
}

TEST_F(BackgroundWriterTest, AFailureIsToldOnceAndNothingIsWrittenBehindIt) {
  files.refuses = true;
  files.let_go();
  BackgroundWriter writer;
  ASSERT_TRUE(writer.write(path("best.pt"), Dict{{"a", 1}}, held()));
  const Status failed = writer.finish();
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("best.pt"));
  EXPECT_TRUE(writer.finish());
  ASSERT_TRUE(writer.write(path("last.pt"), Dict{{"a", 1}}));
  EXPECT_TRUE(writer.finish()) << "a disk may have room again";
}

TEST_F(BackgroundWriterTest, TheEndFinishesWhatWasGiven) {
  files.let_go();
  {
    BackgroundWriter writer;
    ASSERT_TRUE(writer.write(path("a.pt"), Dict{{"a", 1}}, held()));
    ASSERT_TRUE(writer.write(path("b.pt"), Dict{{"a", 1}}, held()));
  }
  EXPECT_TRUE(read(path("a.pt")));
  EXPECT_TRUE(read(path("b.pt")));
}

TEST_F(BackgroundWriterTest, WhatIsToFollowAFileComesWhenItIsInPlaceAndCountsAsItsFailure) {
  files.let_go();
  BackgroundWriter writer;
  bool was_there = false;
  const auto then = [&]() -> Status {
    was_there = std::filesystem::exists(path("a.pt"));
    return Error{ErrorKind::kPlatform, "the index cannot be written"};
  };
  ASSERT_TRUE(writer.write(path("a.pt"), Dict{{"a", 1}}, held(), then));
  const Status failed = writer.finish();
  EXPECT_TRUE(was_there);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "the index cannot be written");
}

TEST_F(BackgroundWriterTest, WhatMayWaitIsCopiedLaterAndTheRestAtOnce) {
  const at::Tensor large = at::full({100000}, 1.0), other = at::full({100000}, 1.0), small = at::full({2}, 1.0);
  const Value value = Dict{{"large", large}, {"other", other}, {"small", small}};
  const auto may_wait = [&](const at::Tensor& tensor) { return !tensor.is_same(other); };
  BackgroundWriter writer;
  auto wait = writer.write_later(path("a.pt"), value, may_wait, held());
  ASSERT_TRUE(wait.ok());
  other.fill_(2);
  small.fill_(2);
  (*wait)();  // though the file has not been begun
  large.fill_(2);
  // While that one is unfinished nothing is left for later.
  auto second = writer.write_later(path("b.pt"), value, may_wait);
  ASSERT_TRUE(second.ok());
  large.fill_(3);
  files.let_go();
  (*second)();
  ASSERT_TRUE(writer.finish());
  const auto written = [&](const char* file, const char* name) {
    return read(path(file))->find(name)->get<at::Tensor>()->min().item<double>();
  };
  for (const char* name : {"large", "other", "small"}) {
    EXPECT_EQ(written("a.pt", name), 1) << name;
    EXPECT_EQ(written("b.pt", name), 2) << name;
  }
}

TEST(HostCopy, TakesASparesMemoryWhereItFits) {
  const Value spare = Dict{{"a", at::full({2, 3}, 1.0)}, {"b", at::full({4}, 1.0)}, {"c", at::full({4}, 1.0)}};
  const at::Tensor turned = at::arange(6.0).view({3, 2}).t();
  const Dict value{{"a", turned}, {"b", at::full({5}, 2.0)}, {"c", at::full({4}, 3.0)}, {"d", at::full({1}, 4.0)}};
  const Value copy = host_copy(value, {}, spare);
  const auto memory = [](const Value& held, const char* name) {
    return held.find(name)->get<at::Tensor>()->data_ptr();
  };
  EXPECT_EQ(memory(copy, "a"), memory(spare, "a")) << "it is written in the order of its dimensions";
  EXPECT_NE(memory(copy, "b"), memory(spare, "b"));
  EXPECT_EQ(memory(copy, "c"), memory(spare, "c"));
  for (const auto& [name, tensor] : value) {
    EXPECT_TRUE(copy.find(*name.get<std::string>())->get<at::Tensor>()->equal(*tensor.get<at::Tensor>()));
  }
}

TEST(HostCopy, WaitsForTheDeviceWhereAGpuCopiesAlone) {
  int waits = 0;
  const Value copy = host_copy(Dict{{"a", at::full({2}, 1.0)}}, [&] { ++waits; });
  EXPECT_EQ(waits, 0);
  EXPECT_TRUE(copy.find("a")->get<at::Tensor>()->equal(at::full({2}, 1.0)));
}

}  // namespace
}  // namespace ferrun::checkpoint
