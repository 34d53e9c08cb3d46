// The trainer in jobs of the real Slurm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/e2e/slurm_run.h"

namespace ferrun::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class SlurmTraining : public Slurm {
 protected:
  std::string script(const std::string& output) const {
    return "srun --ntasks-per-node=1 " FERRUN_BIN_DIR
           "/ferrun worker --faces=40 --image-size=32 --batch-size=12 "
           "--epochs=2 --patience=0 --save-every=2 --resume=auto --output-dir=" +
           file(output) + "\n";
  }
};

TEST_F(SlurmTraining, ARequeuedJobEndsAsAnUndisturbedOne) {
  ASSERT_THAT(batch({"-N2"}, script("whole")), HasSubstr("epoch 2/2"));

  const std::string job = submit("cut", {"-N2", "--requeue"}, script("cut"));
  ASSERT_TRUE(eventually([this] { return std::filesystem::exists(file("cut/last_model.pt")); }))
      << read_file(file("cut.out"));
  at_head({"scontrol", "requeue", job})->wait();
  ASSERT_TRUE(eventually_over(job));
  EXPECT_THAT(read_file(file("cut.out")), AllOf(HasSubstr("stopped by SIGTERM after"), HasSubstr("continuing after")));
  ASSERT_NE(read_file(file("whole/best_model.pt")), "");
  EXPECT_EQ(read_file(file("cut/metrics.csv")), read_file(file("whole/metrics.csv")));
  EXPECT_EQ(read_file(file("cut/best_model.pt")), read_file(file("whole/best_model.pt")));
}

}  // namespace
}  // namespace ferrun::testing
