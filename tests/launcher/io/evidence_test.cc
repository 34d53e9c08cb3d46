// What is read from workers' error files and told to ferrun's parent, with whatever stands in the files' places; and
// the thread that does it.
#include "launcher/io/node/evidence.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>

#include "launcher/io/node/file_worker.h"
#include "tests/process/process_test_support.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TemporaryDirectory;
using State = ErrorFile::State;

TEST(Evidence, ReadsWhatTheWorkerWrote) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("error.json");
  std::ofstream(path) << R"({"message": "out of patience"})";
  EXPECT_EQ(read_error_file(path).message, "out of patience");
  EXPECT_EQ(read_error_file(directory.file("missing")).state, State::kAbsent);
  EXPECT_EQ(read_error_file("").state, State::kAbsent);
}

TEST(Evidence, NamesWhatStandsInTheErrorFilesPlace) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("error.json");
  const auto problem = [&path] {
    const ErrorFile file = read_error_file(path);
    EXPECT_EQ(file.state, State::kUnreadable);
    fs::remove_all(path);
    return file.problem;
  };
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(problem(), path + ": it is a FIFO");
  fs::create_directory(path);
  EXPECT_EQ(problem(), path + ": it is a folder");
  std::ofstream(path).close();
  fs::resize_file(path, (4 << 20) + 1);
  EXPECT_EQ(problem(), path + ": it has more than 4 MiB, and its beginning is that of no error file");
  std::ofstream(path) << "{\"mess";
  EXPECT_THAT(problem(), HasSubstr(path + ": it is not JSON"));
}

TEST(Evidence, ReadsTheBeginningOfAVeryLargeErrorFile) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("error.json");
  const std::string message = "ValueError: bad tensor " + std::string(6 << 20, '7');
  std::ofstream(path) << R"({"message": {"message": ")" << message << R"(", "extraInfo": {"timestamp": "12"}}})";
  const ErrorFile file = read_error_file(path);
  EXPECT_EQ(file.state, State::kRead);
  EXPECT_TRUE(file.is_beginning);
  EXPECT_TRUE(file.message.starts_with("ValueError: bad tensor 777"));
  EXPECT_GT(file.message.size(), size_t{4} << 20 >> 1);
  const fs::path parent = directory.file("parent.json");
  ASSERT_TRUE(tell_parent(parent, path, "rank 0 exited with code 3", 3));
  const auto told = nlohmann::json::parse(testing::read_file(parent.string()));
  EXPECT_TRUE(told["message"]["message"].get<std::string>().starts_with("ValueError: bad tensor 777"));
}

std::string message_in(const fs::path& path) {
  return nlohmann::json::parse(testing::read_file(path.string()))["message"]["message"];
}

TEST(Evidence, TellsTheParentAsAWhole) {
  const TemporaryDirectory directory;
  const fs::path parent = directory.file("parent.json");
  std::ofstream(parent) << std::string(100'000, 'x');
  ASSERT_EQ(::chmod(parent.c_str(), 0640), 0);
  const int reader = ::open(parent.c_str(), O_RDONLY | O_CLOEXEC);
  const Status told = tell_parent(parent, directory.file("missing"), "rank 0 exited with code 3", 3);
  ASSERT_TRUE(told) << told.error().message;
  EXPECT_EQ(message_in(parent), "rank 0 exited with code 3");
  struct stat what {};
  ASSERT_EQ(::stat(parent.c_str(), &what), 0);
  EXPECT_EQ(what.st_mode & 0777, 0640U);
  char byte = 0;
  EXPECT_EQ(::pread(reader, &byte, 1, 99'999), 1) << "whoever reads the old file reads all of it";
  ::close(reader);
  EXPECT_EQ(std::distance(fs::directory_iterator(directory.path()), {}), 1) << "nothing stays beside it";
}

TEST(Evidence, TellsTheParentBehindALink) {
  const TemporaryDirectory directory;
  const fs::path link = directory.file("parent.json");
  const fs::path target = directory.file("target.json");
  std::ofstream(target) << std::string(100'000, 'x');
  fs::create_symlink(target, link);
  ASSERT_TRUE(tell_parent(link, "", "why", 3));
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(message_in(target), "why");
}

TEST(Evidence, DoesNotWaitForAFifoOfTheParents) {
  const TemporaryDirectory directory;
  const fs::path fifo = directory.file("fifo");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const Status told = tell_parent(fifo, "", "why", 3);
  ASSERT_FALSE(told);
  EXPECT_THAT(told.error().message, HasSubstr(fifo.string() + ": it is a FIFO"));
  EXPECT_THAT(told.error().message, HasSubstr("TORCHELASTIC_ERROR_FILE"));
  EXPECT_TRUE(fs::is_fifo(fifo));
  const Status folder = tell_parent(directory.path(), "", "why", 3);
  EXPECT_FALSE(folder);
}

// A disk that does not answer before it is told to.
class HungDisk {
 public:
  void wait() {
    std::unique_lock lock(mutex_);
    waits_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return answers_; });
  }
  void answer() {
    const std::lock_guard lock(mutex_);
    answers_ = true;
    changed_.notify_all();
  }
  bool is_waited_for() const {
    const std::lock_guard lock(mutex_);
    return waits_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool waits_ = false;
  bool answers_ = false;
};

TEST(FileWorker, DoesOneThingAfterTheOtherAndAnswersOnTheLoop) {
  boost::asio::io_context io;
  FileWorker files(io);
  std::vector<int> done;
  const auto loop = std::this_thread::get_id();
  for (int i = 0; i < 3; ++i) {
    files.run([&done, i, loop] {
      EXPECT_FALSE(std::this_thread::get_id() == loop);
      return [&done, i, loop] {
        EXPECT_TRUE(std::this_thread::get_id() == loop);
        done.push_back(i);
      };
    });
  }
  io.run();  // until all have come back
  EXPECT_THAT(done, ElementsAre(0, 1, 2));
  EXPECT_TRUE(files.wait(testing::kHangLimit));
}

TEST(FileWorker, ADiskThatHangsDoesNotHoldUpTheLoop) {
  boost::asio::io_context io;
  FileWorker files(io);
  const auto disk = std::make_shared<HungDisk>();
  bool came_back = false;
  files.run([disk, &came_back] {
    disk->wait();
    return [&came_back] { came_back = true; };
  });
  int beats = 0;
  boost::asio::steady_timer timer(io);
  const std::function<void()> beat = [&] {
    timer.expires_after(std::chrono::milliseconds(1));
    timer.async_wait([&](const boost::system::error_code&) {
      if (disk->is_waited_for() && ++beats == 20) disk->answer();
      if (!came_back) beat();
    });
  };
  beat();
  io.run();
  EXPECT_GE(beats, 20);
  EXPECT_TRUE(came_back);
}

TEST(FileWorker, LeavesBehindWhatHangsAtTheEnd) {
  const auto disk = std::make_shared<HungDisk>();
  {
    boost::asio::io_context io;
    FileWorker files(io);
    files.run([disk] {
      disk->wait();
      return [] { ADD_FAILURE() << "the loop is gone"; };
    });
    files.run([]() -> FileWorker::Then {
      ADD_FAILURE() << "nobody waits for this any more";
      return nullptr;
    });
    EXPECT_TRUE(testing::eventually([&] { return disk->is_waited_for(); }));
    EXPECT_FALSE(files.wait(std::chrono::milliseconds(1)));
  }
  disk->answer();
}

}  // namespace
}  // namespace ferrun
