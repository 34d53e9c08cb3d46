// What a run that goes on means by it: on other ranks, with other batches, with other options.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <sstream>

#include "tests/e2e/train_support.h"
#include "worker/checkpoint/reader.h"

namespace ferrun::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ContinuedRun : public Training {
 protected:
  // Where the run is within its epoch, as its last_model.pt has it.
  struct Place {
    int64_t epoch = -1;
    int64_t samples_done = 0;
    double samples_counted = 0.0;
  };
  Place place(const std::string& output) const {
    const auto checkpoint = checkpoint::read(path(output, "last_model.pt"));
    if (!checkpoint) return {};
    return {*checkpoint->find("epoch")->get<int64_t>(), *checkpoint->find("samples_done")->get<int64_t>(),
            *checkpoint->find("partial_sums")->find("count")->get<double>()};
  }
  // Asks the run to stop once it is so far into its first epoch; where it stopped.
  Place run_until(int ranks, const Words& options, int64_t samples) const {
    Program training(job(ranks, "out", options), this->options());
    EXPECT_TRUE(eventually([&] { return place("out").samples_done >= samples; })) << training.err();
    training.signal(SIGTERM);
    EXPECT_EQ(training.wait().shell_code(), 128 + SIGTERM) << training.err();
    return place("out");
  }
  // Column `column` of the last row of metrics.csv.
  std::string last_metric(const std::string& output, int column) const {
    std::istringstream lines(read_file(path(output, "metrics.csv")));
    std::string line, last, cell;
    while (std::getline(lines, line)) last = line;
    std::istringstream cells(last);
    for (int i = 0; i <= column; ++i) std::getline(cells, cell, ',');
    return cell;
  }
};

TEST_F(ContinuedRun, TakesTheRestOfAnEpochOnceOnMoreAndOnFewerRanks) {
  // 700 faces in steps of 12, 11 or 10; enough of them that the run is stopped within the epoch.
  const Words first = {"--faces", "100", "--epochs", "1", "--save-every", "1"};
  const Place on_two = run_until(2, first, 24);
  Words more = first;
  more.insert(more.end(), {"--resume", "--batch-size", "11"});
  const Place on_three = run_until(3, more, on_two.samples_done + 22);
  Words fewer = first;
  fewer.insert(fewer.end(), {"--resume", "--batch-size", "10"});
  const Place on_two_again = run_until(2, fewer, on_three.samples_done + 20);
  for (const Place& each : {on_two, on_three, on_two_again}) {
    EXPECT_EQ(each.epoch, 0);
    EXPECT_LT(each.samples_done, 700);
    EXPECT_EQ(static_cast<double>(each.samples_done), each.samples_counted) << "one sample twice, or one left out";
  }
  EXPECT_EQ(on_two.samples_done % 12, 0);
  EXPECT_EQ((on_three.samples_done - on_two.samples_done) % 11, 0) << "a step of three ranks takes the whole batch";
  EXPECT_EQ((on_two_again.samples_done - on_three.samples_done) % 10, 0);
  run(job(2, "out", {"--faces", "100", "--epochs", "1", "--resume"}));
  EXPECT_EQ(place("out").epoch, 1);
}

TEST_F(ContinuedRun, TakesOptionsThatAreGivenAndKeepsTheOthers) {
  run(job(1, "out", {"--epochs", "1", "--lr", "0.002", "--seed", "9", "--batch-size", "14"}));
  const std::string same =
      run({FERRUN_BIN_DIR "/worker", "--epochs", "2", "--output-dir", directory.file("out"), "--resume"});
  EXPECT_THAT(same, AllOf(HasSubstr("batch 14, seed 9"), HasSubstr("at 32x32"), Not(HasSubstr("note:"))));
  EXPECT_EQ(last_metric("out", 1), "0.002");
  const std::string changed = run({FERRUN_BIN_DIR "/worker", "--faces", "10", "--epochs", "3", "--output-dir",
                                   directory.file("out"), "--resume", "--lr", "0.0005", "--patience", "7"});
  EXPECT_THAT(changed, HasSubstr("lr was 0.002 and is 0.0005 now"));
  EXPECT_EQ(last_metric("out", 1), "0.0005");
}

// The class names of faces that are drawn are those of FER-2013: nothing else would tell that the pictures are others.
TEST_F(ContinuedRun, HasThePicturesAndThePrecisionOfItsFirstStart) {
  const std::string faces = directory.file("faces");
  run(worker({"make-data", faces, "--faces", "10", "--image-size", "32"}));
  run(job(1, "out", {"--data", faces + "/train", "--split", "0.8,0.2", "--amp", "bf16", "--epochs", "1"}));
  const Words again = {FERRUN_BIN_DIR "/worker", "--epochs", "2", "--output-dir", directory.file("out"), "--resume"};
  EXPECT_THAT(run(again), AllOf(HasSubstr("on 56 pictures of " + faces + "/train"), HasSubstr("bf16, batch 12"),
                                HasSubstr("validated on 0.2 of "), Not(HasSubstr("will not equal"))));
  const Words eval = worker({"eval", "--checkpoint", path("out", "best_model.pt")});
  EXPECT_THAT(run(eval), HasSubstr("(14 pictures of 0.2 of " + faces + "/train, drawn by seed 42 at 32x32)"));
  for (const Words& part : {Words{"--part", "train"}, Words{"--part", "val"}, Words{"--part", "test"}}) {
    Words of_part = eval;
    of_part.insert(of_part.end(), part.begin(), part.end());
    Program evaluation(of_part, options());
    const int status = evaluation.wait().shell_code();
    EXPECT_EQ(status, part[1] == "test" ? 2 : 0) << evaluation.err();
    EXPECT_THAT(evaluation.out() + evaluation.err(),
                HasSubstr(part[1] == "train" ? "(56 pictures of the training part of " + faces + "/train at 32x32)"
                          : part[1] == "val" ? "(14 pictures of 0.2 of "
                                             : "--part test: " + faces + "/train has no test part"));
  }
  std::filesystem::rename(faces + "/train/sad/0000.jpg", faces + "/train/sad/other.jpg");
  EXPECT_THAT(run(again), AllOf(HasSubstr("note: the pictures are others"), HasSubstr("will not equal")))
      << "as many, but others";
  std::filesystem::rename(faces, directory.file("moved"));
  for (const Words& words : {again, eval}) {
    Program lost(words, options());
    EXPECT_EQ(lost.wait().shell_code(), 1);
    EXPECT_THAT(lost.err(), HasSubstr("--data names another folder)"));
  }
}

// What is better, for how long it may fail to come, how many epochs there are: of the first start alone.
TEST_F(ContinuedRun, EndsEarlyWhereItWouldHaveWithoutTheStop) {
  const Words recipe = {"--monitor",  "val_loss", "--min-delta", "0.5",         "--patience",
                        "2",          "--ema",    "0.9",         "--optimizer", "sgd",
                        "--nesterov", "--lr",     "0.01",        "--epochs",    "9",
                        "--gamma",    "0.5",      "--scheduler", "plateau",     "--plateau-patience",
                        "0"};
  EXPECT_THAT(run(job(2, "calm", recipe)), HasSubstr("stopped early: val_loss has not been better than"));
  Program training(job(2, "out", recipe), options());
  ASSERT_TRUE(training.wait_for_output("epoch 1/9")) << training.err();
  training.signal(SIGTERM);
  EXPECT_EQ(training.wait().shell_code(), 128 + SIGTERM) << training.err();
  const std::string told = run({FERRUN_BIN_DIR "/ferrun", "--nproc-per-node", "2", "worker", "--faces", "10",
                                "--output-dir", directory.file("out"), "--resume"});
  EXPECT_THAT(told, AllOf(HasSubstr("/9"), Not(HasSubstr("note:"))));
  expect_equal_outputs("calm", "out");
}

TEST_F(ContinuedRun, BringsTheBestModelAlong) {
  run(job(1, "out", {"--epochs", "1"}));
  const std::string best = read_file(path("out", "best_model.pt"));
  run(job(1, "elsewhere", {"--epochs", "1", "--resume", path("out", "last_model.pt")}));
  EXPECT_TRUE(read_file(path("elsewhere", "best_model.pt")) == best);
  std::filesystem::remove(path("out", "best_model.pt"));
  const std::string told = run(job(1, "third", {"--epochs", "2", "--resume", path("out", "last_model.pt")}));
  EXPECT_THAT(told, HasSubstr("there is no best_model.pt beside"));
  EXPECT_TRUE(std::filesystem::exists(path("third", "best_model.pt")));
}

TEST_F(ContinuedRun, GoesOnFromBeforeALossThatWasNotFinite) {
  Program broken(job(2, "out", {"--lr", "1e38"}), options());
  EXPECT_EQ(broken.wait().shell_code(), 1);
  EXPECT_THAT(broken.err(), AllOf(HasSubstr("is not finite in epoch 1, step 2, at learning rate 1e+38"),
                                  HasSubstr("--resume continues from it"), HasSubstr("Root cause: rank")));
  EXPECT_FALSE(std::filesystem::exists(path("out", "best_model.pt"))) << "it may not be the best of anything";
  const std::string told = run(job(2, "out", {"--epochs", "1", "--lr", "0.001", "--resume"}));
  EXPECT_THAT(told, HasSubstr("lr was 1e+38 and is 0.001 now"));
  EXPECT_THAT(read_file(path("out", "metrics.csv")), Not(HasSubstr("nan")));
}

// Training takes two short steps, the validation of 6,300 pictures half a minute.
TEST_F(ContinuedRun, IsAskedToStopInItsValidation) {
  run(worker({"make-data", directory.file("faces"), "--faces", "2", "--image-size", "32"}));
  for (const auto& entry : std::filesystem::directory_iterator(directory.file("faces") + "/val")) {
    const std::filesystem::path picture = entry.path() / "0000.jpg";
    for (int i = 1; i < 900; ++i) {
      std::filesystem::create_hard_link(picture, entry.path() / ("copy" + std::to_string(i) + ".jpg"));
    }
  }
  const Words data = {
      "--data", directory.file("faces"), "--image-size", "64", "--epochs", "1", "--batch-size", "7", "--save-every",
      "1"};
  Program training(job(2, "out", data), options());
  ASSERT_TRUE(eventually([&] { return place("out").samples_done == 7; })) << training.err();
  const pid_t rank = worker_pid(0, 0);
  const double before = computing_seconds(rank);
  ASSERT_TRUE(eventually([&] { return computing_seconds(rank) > before + 1.0; })) << "it is in its validation by now";
  training.signal(SIGTERM);
  EXPECT_EQ(training.wait().shell_code(), 128 + SIGTERM) << training.err();
  EXPECT_THAT(training.out(), HasSubstr("stopped by SIGTERM after 0 epochs and 2 steps"));
  EXPECT_EQ(place("out").samples_done, 14) << "the epoch is trained, and only its validation is to be done again";
}

}  // namespace
}  // namespace ferrun::testing
