#include "worker/checkpoint/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/temporary_directory.h"
#include "tests/worker/checkpoint/archives.h"

namespace ferrun::checkpoint {
namespace {

namespace fs = std::filesystem;

// The machine's file system, whose `failing`-th call fails with `error` instead of doing anything. Writes are cut to
// pieces of at most `piece` bytes.
class FaultyFileSystem final : public FileSystem {
 public:
  FaultyFileSystem(int failing, int error, size_t piece = 1 << 20) : failing_(failing), error_(error), piece_(piece) {}
  int calls() const { return calls_; }

  int create(const std::string& path) override { return fails() ? -error_ : real_.create(path); }
  ssize_t write(int descriptor, const void* data, size_t length) override {
    return fails() ? -error_ : real_.write(descriptor, data, std::min(length, piece_));
  }
  int sync(int descriptor) override { return fails() ? -error_ : real_.sync(descriptor); }
  int close(int descriptor) override {
    const int result = real_.close(descriptor);
    return fails() ? -error_ : result;
  }
  int rename(const std::string& from, const std::string& to) override {
    return fails() ? -error_ : real_.rename(from, to);
  }
  int link(const std::string& existing, const std::string& added) override {
    return fails() ? -error_ : real_.link(existing, added);
  }
  // Removing the temporary file is what follows a failure; it does not fail as well.
  int unlink(const std::string& path) override { return real_.unlink(path); }
  int sync_folder(const std::string& folder) override { return fails() ? -error_ : real_.sync_folder(folder); }
  std::vector<std::string> list(const std::string& folder, const std::string& prefix) override {
    return real_.list(folder, prefix);
  }

 private:
  bool fails() { return ++calls_ == failing_; }

  FileSystem& real_ = machine_file_system();
  int failing_;
  int error_;
  size_t piece_;
  int calls_ = 0;
};

class AtomicFileTest : public ::testing::Test {
 protected:
  static std::string content(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  void put(const std::string& text) const { std::ofstream(path_, std::ios::binary) << text; }
  size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  Status replace(const std::string& text, FileSystem& files,
                 const std::optional<std::string>& previous = std::nullopt) const {
    AtomicFile file(path_, files);
    if (auto opened = file.open(); !opened) return opened;
    if (auto wrote = file.write(as_bytes(text)); !wrote) return wrote;
    return file.commit(previous);
  }

  const testing::TemporaryDirectory directory_;
  const fs::path& folder_ = directory_.path();
  std::string path_ = (folder_ / "best.pt").string();
  const std::string old_ = "the old content";
  const std::string new_ = std::string(200000, 'n');  // more than the buffer
};

TEST_F(AtomicFileTest, ReplacesTheFileAndLeavesNothingElse) {
  put(old_);
  ASSERT_TRUE(replace(new_, machine_file_system()).ok());
  EXPECT_EQ(content(path_), new_);
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, WithoutCommitThePathIsAsItWas) {
  put(old_);
  {
    AtomicFile file(path_);
    ASSERT_TRUE(file.open().ok());
    ASSERT_TRUE(file.write(as_bytes(new_)).ok());
    EXPECT_EQ(files(), 2u);
  }
  EXPECT_EQ(content(path_), old_);
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, ShortWritesAreContinued) {
  FaultyFileSystem pieces(0, 0, 1000);
  ASSERT_TRUE(replace(new_, pieces).ok());
  EXPECT_EQ(content(path_), new_);
}

// Walks the calls: whichever fails, and with whatever error, the path holds one whole file, the old or the new, and
// nothing else is left in the folder.
TEST_F(AtomicFileTest, AFailureOfAnyCallLeavesTheOldFileOrTheNew) {
  for (int error : {ENOSPC, EDQUOT, EIO, EACCES, EFBIG, EROFS}) {
    int refused = 0;
    for (int failing = 1;; ++failing) {
      put(old_);
      FaultyFileSystem files_with_fault(failing, error, 50000);
      const Status replaced = replace(new_, files_with_fault);
      if (files_with_fault.calls() < failing) break;
      ++refused;
      EXPECT_FALSE(replaced.ok()) << "call " << failing;
      EXPECT_NE(replaced.error().message.find(path_), std::string::npos) << replaced.error().message;
      EXPECT_EQ(replaced.error().message.find('\n'), std::string::npos);
      const std::string now = content(path_);
      EXPECT_TRUE(now == old_ || now == new_) << "call " << failing << " left " << now.size() << " bytes";
      EXPECT_EQ(files(), 1u) << "call " << failing;
    }
    EXPECT_EQ(refused, 9) << "create, four writes, sync, close, rename, sync of the folder";
  }
}

TEST_F(AtomicFileTest, TheReplacedFileStaysReachable) {
  const std::string previous = (folder_ / "best.previous.pt").string();
  ASSERT_TRUE(replace("first", machine_file_system(), previous).ok());
  EXPECT_FALSE(fs::exists(previous));
  ASSERT_TRUE(replace("second", machine_file_system(), previous).ok());
  ASSERT_TRUE(replace("third", machine_file_system(), previous).ok());
  EXPECT_EQ(content(path_), "third");
  EXPECT_EQ(content(previous), "second");
  EXPECT_EQ(files(), 2u);
}

TEST_F(AtomicFileTest, TheSameBytesOnceMoreReplaceNothing) {
  const std::string previous = (folder_ / "best.previous.pt").string();
  for (const std::string& text : {std::string("first"), new_, new_}) {
    ASSERT_TRUE(replace(text, machine_file_system(), previous).ok());
  }
  EXPECT_EQ(content(previous), "first");
  std::string changed = new_;
  changed.back() = 'm';
  ASSERT_TRUE(replace(changed, machine_file_system(), previous).ok());
  EXPECT_EQ(content(previous), new_);
}

TEST_F(AtomicFileTest, WithoutHardLinksItSavesAllTheSame) {
  put(old_);
  FaultyFileSystem no_links(5, EPERM);  // create, write, sync, close, link
  ASSERT_TRUE(replace("new", no_links, (folder_ / "previous").string()).ok());
  EXPECT_EQ(content(path_), "new");
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, ALinkStaysAndItsTargetIsReplaced) {
  const testing::TemporaryDirectory folder;
  const std::string target = folder.file("target"), link = folder.file("link");
  std::ofstream(target) << "old";
  fs::create_symlink(target, link);
  ASSERT_TRUE(write_file_atomically(link, std::vector<uint8_t>{'n', 'e', 'w'}).ok());
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(content(target), "new");
}

TEST_F(AtomicFileTest, APipeIsNotReplacedByAFile) {
  const testing::TemporaryDirectory folder;
  const std::string pipe = folder.file("pipe"), link = folder.file("link");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  fs::create_symlink(pipe, link);
  for (const std::string& path : {pipe, link}) {
    const Status refused = write_file_atomically(path, std::vector<uint8_t>{'x'});
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind, ErrorKind::kUser);
    EXPECT_NE(refused.error().message.find("a device, a pipe or a socket"), std::string::npos);
  }
  EXPECT_TRUE(fs::is_fifo(pipe));
}

TEST_F(AtomicFileTest, LeftoversOfAKilledWriterAreRemoved) {
  std::ofstream(path_ + ".tmp-12345-0") << "half a file";
  ASSERT_TRUE(replace(new_, machine_file_system()).ok());
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, AMissingFolderIsToldInOneLine) {
  path_ = (folder_ / "absent" / "best.pt").string();
  const Status replaced = replace(new_, machine_file_system());
  ASSERT_FALSE(replaced.ok());
  EXPECT_NE(replaced.error().message.find("folder does not exist"), std::string::npos) << replaced.error().message;
}

}  // namespace
}  // namespace ferrun::checkpoint
