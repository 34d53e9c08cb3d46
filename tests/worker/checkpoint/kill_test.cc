// Saving a checkpoint under the real kernel's faults: killed before and after each of its system calls, out of disk,
// over the file-size limit. The path must always hold the old checkpoint or the new one, whole.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/temporary_directory.h"
#include "tests/worker/checkpoint/archives.h"
#include "worker/checkpoint/archive_reader.h"
#include "worker/checkpoint/atomic_file.h"
#include "worker/checkpoint/signal_guard.h"

namespace ferrun::checkpoint {
namespace {

namespace fs = std::filesystem;
constexpr int kNotTraceable = 77;

Status save(const std::string& path, const std::vector<uint8_t>& checkpoint, const std::string& previous) {
  const FileSizeSignalGuard guard;
  AtomicFile file(path);
  if (auto opened = file.open(); !opened) return opened;
  // In two parts, as records come one after the other.
  const auto bytes = std::span(checkpoint);
  if (auto wrote = file.write(bytes.first(bytes.size() / 2)); !wrote) return wrote;
  if (auto wrote = file.write(bytes.subspan(bytes.size() / 2)); !wrote) return wrote;
  return file.commit(previous);
}

std::vector<uint8_t> content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class InterruptedSave : public ::testing::Test {
 protected:
  void put_old() const {
    std::ofstream file(path_, std::ios::binary);
    file.write(reinterpret_cast<const char*>(old_.data()), static_cast<std::streamsize>(old_.size()));
  }

  // Saves the new checkpoint in a child that is killed at its `stop`-th stop at a system call: entries and returns
  // count alike. Returns whether it was killed before it had ended by itself; skips where tracing is forbidden.
  bool save_and_kill_at(int stop, bool& traceable) const {
    const pid_t child = ::fork();
    if (child == 0) {
      if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(kNotTraceable);
      ::raise(SIGSTOP);
      ::_exit(save(path_, new_, previous_).ok() ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    traceable = WIFSTOPPED(status);
    for (int seen = 0; WIFSTOPPED(status); ++seen) {
      if (seen == stop) {
        ::kill(child, SIGKILL);
      } else {
        ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
      }
      ::waitpid(child, &status, 0);
    }
    if (WIFEXITED(status) && traceable) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
    }
    return WIFSIGNALED(status);
  }

  const testing::TemporaryDirectory directory_;
  const fs::path& folder_ = directory_.path();
  std::string path_ = (folder_ / "last.pt").string();
  std::string previous_ = (folder_ / "last.previous.pt").string();
  const std::vector<uint8_t> old_ = small_checkpoint(1, std::vector<float>(1000, 1.0f));
  const std::vector<uint8_t> new_ = small_checkpoint(2, std::vector<float>(50000, 2.0f));
};

TEST_F(InterruptedSave, AKillAtAnySystemCallLeavesTheOldFileOrTheNew) {
  int olds = 0, news = 0;
  for (int stop = 1;; ++stop) {
    put_old();
    bool traceable = false;
    const bool killed = save_and_kill_at(stop, traceable);
    if (!traceable) GTEST_SKIP() << "this machine forbids ptrace";
    const auto now = content(path_);
    ASSERT_TRUE(now == old_ || now == new_) << "killed at stop " << stop << ": " << now.size() << " bytes";
    if (!killed) break;
    now == old_ ? ++olds : ++news;
    if (fs::exists(previous_)) {
      EXPECT_EQ(content(previous_), old_) << "killed at stop " << stop;
    }
    fs::remove(previous_);
  }
  EXPECT_GT(olds, 10) << "the walk must meet the calls before the rename";
  EXPECT_GT(news, 2) << "and those after it";
  // The next save has cleaned up after the killed ones.
  for (const auto& entry : fs::directory_iterator(folder_)) {
    EXPECT_EQ(entry.path().filename().string().find(".tmp-"), std::string::npos) << entry.path();
  }
}

TEST_F(InterruptedSave, TheFileSizeLimitIsAnErrorAndNoDeath) {
  put_old();
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit{100000, 100000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const Status saved = save(path_, new_, previous_);
    ::_exit(!saved.ok() && saved.error().message.find("ulimit -f") != std::string::npos ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(content(path_), old_);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

TEST_F(InterruptedSave, AFullDiskLeavesTheOldFile) {
  if (::mount("tmpfs", folder_.c_str(), "tmpfs", 0, "size=128k") != 0)
    GTEST_SKIP() << "mounting a small disk needs root";
  put_old();
  const Status saved = save(path_, new_, previous_);
  const bool kept = content(path_) == old_;
  const auto files = std::distance(fs::directory_iterator(folder_), fs::directory_iterator());
  ASSERT_EQ(::umount2(folder_.c_str(), MNT_DETACH), 0);
  ASSERT_FALSE(saved.ok());
  EXPECT_NE(saved.error().message.find("free space"), std::string::npos) << saved.error().message;
  EXPECT_TRUE(kept);
  EXPECT_EQ(files, 1);
}

}  // namespace
}  // namespace ferrun::checkpoint
