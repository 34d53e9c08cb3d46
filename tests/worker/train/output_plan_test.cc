#include "worker/train/output_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace ferrun::train {
namespace {

using ::testing::HasSubstr;

// A disk of checkpoints: path → the launch that wrote it.
struct Disk final : OutputFacts {
  std::map<std::string, std::string> checkpoints;
  std::set<std::string> directories;

  bool is_directory(const std::string& path) const override { return directories.count(path) != 0; }
  bool exists(const std::string& path) const override { return checkpoints.count(path) != 0 || is_directory(path); }
  bool same_file(const std::string& a, const std::string& b) const override { return a == b && exists(a); }
  std::string launch_of(const std::string& path) const override {
    const auto found = checkpoints.find(path);
    return found == checkpoints.end() ? "" : found->second;
  }
};

OutputRequest launch(const std::string& output_dir = "") {
  OutputRequest request;
  request.output_dir = output_dir;
  request.launch_id = "L1";
  request.fresh_name = "fresh";
  return request;
}

TEST(OutputPlan, IsANewDirectoryForEachJob) {
  EXPECT_EQ(plan_output(launch(), Disk())->directory, "runs/L1");
  OutputRequest alone = launch();
  alone.launch_id = "";
  EXPECT_EQ(plan_output(alone, Disk())->directory, "runs/fresh");
  EXPECT_EQ(plan_output(launch("out"), Disk())->directory, "out");
  EXPECT_EQ(plan_output(launch("out"), Disk())->checkpoint, "");
}

TEST(OutputPlan, RefusesACheckpointThatWasNotLoaded) {
  for (const char* name : {kLastModel, kBestModel, kPreviousBest}) {
    Disk disk;
    disk.checkpoints[join_path("out", name)] = "L0";
    const auto plan = plan_output(launch("out"), disk);
    ASSERT_FALSE(plan.ok());
    EXPECT_EQ(plan.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(plan.error().message, HasSubstr(join_path("out", name)));
    EXPECT_THAT(plan.error().message, HasSubstr("--overwrite"));
    OutputRequest overwriting = launch("out");
    overwriting.overwrite = true;
    EXPECT_EQ(plan_output(overwriting, disk)->checkpoint, "");
  }
}

TEST(OutputPlan, ResumesWhereThereIsSomethingElseBegins) {
  Disk disk;
  disk.directories = {"out"};
  OutputRequest request = launch("out");
  request.resume = kResumeIfThere;
  EXPECT_EQ(plan_output(request, disk)->checkpoint, "");
  disk.checkpoints["out/best_model.pt"] = "L0";
  EXPECT_FALSE(plan_output(request, disk).ok()) << "begins over what it did not load";
  disk.checkpoints["out/last_model.pt"] = "L0";
  EXPECT_EQ(plan_output(request, disk)->checkpoint, "out/last_model.pt");
  disk.checkpoints["out/last_model.pt"] = "L1";
  EXPECT_TRUE(plan_output(request, disk)->of_launch);
}

TEST(OutputPlan, ResumesWhereItIsTold) {
  Disk disk;
  disk.checkpoints["out/last_model.pt"] = "L0";
  disk.directories = {"out"};
  OutputRequest request = launch("out");
  for (const char* named : {"", "out", "out/last_model.pt"}) {
    request.resume = named;
    const auto plan = plan_output(request, disk);
    ASSERT_TRUE(plan.ok()) << named << ": " << plan.error().message;
    EXPECT_EQ(plan->checkpoint, "out/last_model.pt");
    EXPECT_EQ(plan->directory, "out");
  }
  OutputRequest elsewhere = launch();
  elsewhere.resume = "out";
  EXPECT_EQ(plan_output(elsewhere, disk)->directory, "out") << "without --output-dir a run goes on where it was";
  elsewhere.output_dir = "new";
  EXPECT_EQ(plan_output(elsewhere, disk)->directory, "new");
  EXPECT_EQ(plan_output(elsewhere, disk)->checkpoint, "out/last_model.pt");
}

TEST(OutputPlan, RefusesToResumeFromWhatIsNotThere) {
  OutputRequest request = launch("out");
  request.resume = "";
  EXPECT_THAT(plan_output(request, Disk()).error().message, HasSubstr("there is no out/last_model.pt"));
  request.resume = "x.pt";
  EXPECT_THAT(plan_output(request, Disk()).error().message, HasSubstr("there is no x.pt"));
}

TEST(OutputPlan, KeepsANewerCheckpointFromAnOlderOne) {
  Disk disk;
  disk.checkpoints = {{"out/last_model.pt", "L0"}, {"out/best_model.pt", "L0"}};
  OutputRequest request = launch();
  request.resume = "out/best_model.pt";
  EXPECT_FALSE(plan_output(request, disk).ok()) << "last_model.pt was not loaded and would be replaced";
  request.overwrite = true;
  EXPECT_EQ(plan_output(request, disk)->checkpoint, "out/best_model.pt");
}

TEST(OutputPlan, ARestartContinuesItsOwnLaunchAlone) {
  Disk disk;
  disk.checkpoints["runs/L1/last_model.pt"] = "L1";
  EXPECT_EQ(plan_output(launch(), disk)->checkpoint, "runs/L1/last_model.pt");
  EXPECT_TRUE(plan_output(launch(), disk)->of_launch);
  disk.checkpoints["out/last_model.pt"] = "L0";
  EXPECT_FALSE(plan_output(launch("out"), disk).ok()) << "another launch's";
  EXPECT_FALSE(plan_output(launch("empty"), disk)->of_launch);
  EXPECT_EQ(plan_output(launch("empty"), disk)->checkpoint, "") << "killed before its first checkpoint";
}

TEST(OutputPlan, ARestartPrefersItsOwnProgressToResume) {
  Disk disk;
  disk.checkpoints = {{"old.pt", "L0"}, {"out/last_model.pt", "L1"}};
  OutputRequest request = launch("out");
  request.resume = "old.pt";
  EXPECT_EQ(plan_output(request, disk)->checkpoint, "out/last_model.pt");
  request.overwrite = true;
  EXPECT_EQ(plan_output(request, disk)->checkpoint, "out/last_model.pt");
}

TEST(OutputPlan, WithoutALaunchIdNothingIsItsOwn) {
  Disk disk;
  disk.checkpoints["out/last_model.pt"] = "";
  OutputRequest request = launch("out");
  request.launch_id = "";
  EXPECT_FALSE(plan_output(request, disk).ok());
}

}  // namespace
}  // namespace ferrun::train
