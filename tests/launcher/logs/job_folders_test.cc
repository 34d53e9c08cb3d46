// The folders of a job on a real disk, and what becomes of them.
#include "launcher/io/logs/job_folders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "launcher/logs/log_layout.h"
#include "tests/process/process_test_support.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class JobFoldersTest : public ::testing::Test {
 protected:
  // Two workers; with `redirected`, both streams of both go to files.
  OutputConfig output(bool temporary, bool redirected) const {
    OutputConfig config;
    config.base = base();
    config.job_folder = "job_x";
    config.temporary = temporary;
    config.redirects.resize(2, StreamSet{redirected, redirected});
    config.tee.resize(2);
    return config;
  }

  fs::path base() const { return directory_.path() / "deep" / "logs"; }

  static std::vector<WorkerLogPlan> plans(const OutputConfig& config, int attempt) {
    JobConfig job;
    job.workers = 2;
    job.output = config;
    return {worker_log_plan(job, attempt, 0), worker_log_plan(job, attempt, 1)};
  }

  static mode_t mode(const fs::path& path) {
    struct stat what {};
    EXPECT_EQ(::stat(path.c_str(), &what), 0) << path;
    return what.st_mode & 07777;
  }

  const testing::TemporaryDirectory directory_;
};

TEST_F(JobFoldersTest, MakesTheTreeAndOpensTheFiles) {
  const OutputConfig config = output(/*temporary=*/false, /*redirected=*/true);
  JobFolders folders(config);
  const JobFolders::Attempt made = folders.prepare(3, plans(config, 3));
  ASSERT_TRUE(made.folder) << made.folder.error().message;
  EXPECT_FALSE(made.made_again);
  ASSERT_EQ(made.workers.size(), 2U);
  for (const Result<JobFolders::Streams>& worker : made.workers) {
    ASSERT_TRUE(worker) << worker.error().message;
    EXPECT_TRUE(worker->out);
    EXPECT_TRUE(worker->err);
  }
  EXPECT_EQ(mode(base() / "job_x"), 0700U);
  EXPECT_TRUE(fs::exists(base() / "job_x/attempt_3/1/stderr.log"));
}

TEST_F(JobFoldersTest, AnAttemptThatNeverCameLeavesNothing) {
  const OutputConfig config = output(/*temporary=*/false, /*redirected=*/true);
  JobFolders folders(config);
  folders.prepare(0, plans(config, 0));
  folders.prepare(1, plans(config, 1));
  std::ofstream(base() / "job_x/attempt_1/0/stdout.log") << "somebody's";
  folders.forgo_newest();
  folders.remove_empty();
  EXPECT_TRUE(fs::exists(base() / "job_x/attempt_0/1/stderr.log")) << "an attempt that ran keeps its empty files";
  EXPECT_TRUE(fs::exists(base() / "job_x/attempt_1/0/stdout.log"));
  EXPECT_FALSE(fs::exists(base() / "job_x/attempt_1/0/stderr.log"));
  EXPECT_FALSE(fs::exists(base() / "job_x/attempt_1/1"));
}

TEST_F(JobFoldersTest, MakesAgainWhatSomebodyCleanedAwayWithItsModes) {
  const OutputConfig config = output(/*temporary=*/false, /*redirected=*/false);
  fs::create_directories(base());
  ASSERT_EQ(::chmod(base().parent_path().c_str(), 01777), 0);
  ASSERT_EQ(::chmod(base().c_str(), 0750), 0);
  JobFolders folders(config);
  ASSERT_TRUE(folders.prepare(0, plans(config, 0)).folder);
  EXPECT_FALSE(folders.prepare(1, plans(config, 1)).made_again);
  fs::remove_all(base().parent_path());

  const JobFolders::Attempt made = folders.prepare(2, plans(config, 2));
  ASSERT_TRUE(made.folder) << made.folder.error().message;
  EXPECT_TRUE(made.made_again);
  ASSERT_TRUE(made.workers.at(1));
  EXPECT_TRUE(fs::exists(base() / "job_x/attempt_2/1"));
  EXPECT_EQ(mode(base().parent_path()), 01777U);
  EXPECT_EQ(mode(base()), 0750U);
  EXPECT_EQ(mode(base() / "job_x"), 0700U);
  EXPECT_FALSE(folders.prepare(3, plans(config, 3)).made_again);
}

TEST_F(JobFoldersTest, LeavesNoFolderOfItsOwnInWhichNothingWasWritten) {
  fs::create_directories(base().parent_path());
  for (const bool temporary : {false, true}) {
    const OutputConfig config = output(temporary, /*redirected=*/false);
    JobFolders folders(config);
    for (int attempt = 0; attempt < 3; ++attempt) ASSERT_TRUE(folders.prepare(attempt, plans(config, attempt)).folder);
    EXPECT_TRUE(fs::exists(base()));
    folders.remove_empty();
    EXPECT_FALSE(fs::exists(base())) << "temporary: " << temporary;
    EXPECT_TRUE(fs::exists(base().parent_path())) << "somebody else's";
  }
}

TEST_F(JobFoldersTest, LeavesWhatWasWrittenAndItsFolders) {
  const OutputConfig config = output(/*temporary=*/true, /*redirected=*/true);
  JobFolders folders(config);
  ASSERT_TRUE(folders.prepare(0, plans(config, 0)).folder);
  std::ofstream(base() / "job_x/attempt_0/1/stdout.log") << "a line\n";
  folders.remove_empty();
  EXPECT_TRUE(fs::exists(base() / "job_x/attempt_0/1/stdout.log"));
  EXPECT_FALSE(fs::exists(base() / "job_x/attempt_0/1/stderr.log")) << "empty, and nobody asked for it";
  EXPECT_FALSE(fs::exists(base() / "job_x/attempt_0/0"));
}

TEST_F(JobFoldersTest, RemovesWhatWorkersNotedForTheNextAttempt) {
  for (const bool temporary : {false, true}) {
    const OutputConfig config = output(temporary, /*redirected=*/false);
    JobFolders folders(config);
    ASSERT_TRUE(folders.prepare(0, plans(config, 0)).folder);
    const fs::path notes = launch_folder(config);
    fs::create_directory(notes);
    std::ofstream(notes / "a") << "a note";
    fs::create_directory(notes / "somebody's");
    folders.remove_empty();
    EXPECT_FALSE(fs::exists(notes / "a"));
    EXPECT_TRUE(fs::exists(notes / "somebody's")) << "no note";
    fs::remove(notes / "somebody's");
    folders.remove_empty();
    EXPECT_FALSE(fs::exists(base())) << "temporary: " << temporary;
  }
}

TEST_F(JobFoldersTest, KeepsTheEmptyLogFilesThatWereAskedFor) {
  const OutputConfig config = output(/*temporary=*/false, /*redirected=*/true);
  JobFolders folders(config);
  ASSERT_TRUE(folders.prepare(0, plans(config, 0)).folder);
  folders.remove_empty();
  EXPECT_TRUE(fs::exists(base() / "job_x/attempt_0/0/stderr.log"));
}

TEST_F(JobFoldersTest, NamesTheFolderAndTheFlagWhenAFileIsInTheWay) {
  fs::create_directories(base().parent_path());
  std::ofstream(base()) << "a file";
  const OutputConfig config = output(/*temporary=*/false, /*redirected=*/false);
  const JobFolders::Attempt made = JobFolders(config).prepare(0, plans(config, 0));
  ASSERT_FALSE(made.folder);
  EXPECT_EQ(made.folder.error().kind, ErrorKind::kUser);
  EXPECT_EQ(made.folder.error().message,
            "cannot make the log folder " + base().string() + ": Not a directory; choose another one with --log-dir");
  EXPECT_TRUE(made.workers.empty());
}

}  // namespace
}  // namespace ferrun
