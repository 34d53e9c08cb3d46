// Jobs that the real Slurm preempts for those of another partition: workers may save, and go on afterwards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/e2e/slurm_run.h"

namespace ferrun::testing {
namespace {

using ::testing::HasSubstr;

class SlurmPreemption : public Slurm {
 protected:
  // A job on all hosts whose workers take `seconds` for a save (Slurm signals all processes, more than once), and end
  // by themselves when they have been started again. `at_end` are lines of its script, with the step's status in
  // $status.
  std::string train(const std::string& partition, const std::string& seconds, const std::string& at_end = "") const {
    std::ofstream(file("train.sh")) << "n=${SLURM_RESTART_COUNT:-0}\n"
                                    << "trap 'trap \"\" TERM; sleep " << seconds
                                    << "; touch $DIR/saved.$n.$RANK; exit 0' TERM\n"
                                    << "touch $DIR/up.$n.$RANK\n"
                                    << "while [ $n = 0 ]; do sleep 0.05; done\n";
    return submit("job", {"-N3", "--exclusive", "--requeue", "-p", partition},
                  "srun --ntasks-per-node=1 " FERRUN_BIN_DIR "/ferrun --nproc-per-node=1 --no-python sh " +
                      file("train.sh") + "\nstatus=$?; echo the step ended with $status\n" + at_end);
  }
  void preempt() const {
    const auto urgent = at_head({"srun", "-N1", "--exclusive", "-p", "urgent", "true"});
    EXPECT_TRUE(urgent->wait().success()) << urgent->err();
  }
  // Another job has a host as soon as this one is done there.
  bool eventually_saved() const {
    return eventually([this] { return files("saved.0.") == 3; });
  }
  std::string said() const { return read_file(file("job.out")); }
};

TEST_F(SlurmPreemption, ARequeuedJobsWorkersHaveTheGraceAndRunAgain) {
  const std::string job = train("spare", "1");
  ASSERT_TRUE(eventually([this] { return files("up.0.") == 3; })) << said();
  preempt();
  EXPECT_TRUE(eventually_saved()) << said();
  EXPECT_TRUE(eventually_over(job));
  EXPECT_EQ(files("up.1."), 3U) << said();
  EXPECT_THAT(said(), HasSubstr("the step ended with 0"));
}

// The save takes longer than KillWait, which is 5 s.
TEST_F(SlurmPreemption, ACancelledJobsWorkersHaveTheGrace) {
  const std::string job = train("scrap", "7");
  ASSERT_TRUE(eventually([this] { return files("up.0.") == 3; })) << said();
  preempt();
  EXPECT_TRUE(eventually_saved()) << said();
  EXPECT_TRUE(eventually_over(job));
  EXPECT_EQ(files("up.1."), 0U) << said();
  EXPECT_TRUE(eventually([this] { return marker.processes().empty(); }));
}

// Slurm takes a job that ends in its grace for one that has ended, and starts it no more.
TEST_F(SlurmPreemption, AJobThatEndsInItsGraceIsStartedAgainWhereItsScriptSaysSo) {
  const std::string job = train("patient", "1", "if [ $status = 143 ]; then scontrol requeue $SLURM_JOB_ID; fi\n");
  ASSERT_TRUE(eventually([this] { return files("up.0.") == 3; })) << said();
  preempt();
  EXPECT_TRUE(eventually_saved()) << said();
  EXPECT_TRUE(eventually_over(job));
  EXPECT_EQ(files("up.1."), 3U) << said();
  EXPECT_THAT(said(), HasSubstr("the step ended with 0"));
}

}  // namespace
}  // namespace ferrun::testing
