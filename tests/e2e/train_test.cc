// The worker as a program: what it refuses, what it says, and how a run that cannot go on ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/e2e/train_support.h"
#include "worker/report/epoch_metrics.h"

namespace ferrun::testing {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

struct Outcome {
  int status = 0;
  std::string out;
  std::string err;
};

class WorkerProgram : public Training {
 protected:
  Outcome outcome(const Words& command) const {
    Program program(command, options());
    const int status = program.wait().shell_code();
    return {status, program.out(), program.err()};
  }
  Outcome alone(Words words) const {
    words.insert(words.begin(), FERRUN_BIN_DIR "/worker");
    return outcome(words);
  }
  // Of the first line of an evaluation, which rounds it.
  static double loss_told(const std::string& report) {
    double loss = -1;
    EXPECT_EQ(std::sscanf(report.c_str(), "loss %lf", &loss), 1) << report;
    return loss;
  }
  static constexpr double kLastDigit = 1e-4;
  static int lines(const std::string& text) { return static_cast<int>(std::count(text.begin(), text.end(), '\n')); }
};

TEST_F(WorkerProgram, EndsARunWhoseRankStandsStillAndNamesIt) {
  Program training(job(2, "out", {"--epochs", "1000", "--collective-timeout", "4"}), options());
  ASSERT_TRUE(training.wait_for_output("epoch    1/1000"));
  const pid_t stopped = worker_pid(1, 0);
  kill(stopped, SIGSTOP);
  EXPECT_EQ(training.wait().shell_code(), 1);
  EXPECT_THAT(training.err(), HasSubstr("rank 1 (pid " + std::to_string(stopped) + " on "));
  EXPECT_THAT(training.err(), HasSubstr("did not answer for 4 s"));
}

TEST_F(WorkerProgram, TellsAFailureInOneLineWithoutStacks) {
  Program training(job(2, "out", {"--epochs", "1000"}), options());
  ASSERT_TRUE(training.wait_for_output("epoch    1/1000"));
  kill(worker_pid(1, 0), SIGKILL);
  EXPECT_EQ(training.wait().shell_code(), 128 + SIGKILL);
  EXPECT_THAT(training.err(), Not(HasSubstr("frame #")));
  EXPECT_THAT(training.err(), Not(HasSubstr("Exception raised")));
}

TEST_F(WorkerProgram, RefusesToOverwriteACheckpointThatItDidNotLoad) {
  run(job(1, "out", {"--epochs", "1"}));
  const std::string before = read_file(path("out", "last_model.pt"));
  const Outcome refused = outcome(job(2, "out"));
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("last_model.pt is a checkpoint of another run"), HasSubstr("--resume"),
                                 HasSubstr("--overwrite")));
  EXPECT_TRUE(read_file(path("out", "last_model.pt")) == before);
  run(job(1, "out", {"--epochs", "1", "--overwrite", "--seed", "1"}));
  EXPECT_FALSE(read_file(path("out", "last_model.pt")) == before);
}

TEST_F(WorkerProgram, MakesANewDirectoryForEachJob) {
  const std::filesystem::path place = directory.path() / "elsewhere";
  std::filesystem::create_directory(place);
  const Words tiny = {"--faces", "5", "--image-size", "32", "--batch-size", "10", "--epochs", "1"};
  for (int i = 0; i < 2; ++i) {
    ProgramOptions here = options();
    here.in_child = [&] { std::filesystem::current_path(place); };
    Words command = {FERRUN_BIN_DIR "/ferrun", "--nproc-per-node", "2", "worker"};
    command.insert(command.end(), tiny.begin(), tiny.end());
    Program program(command, here);
    EXPECT_TRUE(program.wait().success()) << program.err();
  }
  int runs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(place / "runs")) {
    EXPECT_TRUE(std::filesystem::exists(entry.path() / "last_model.pt"));
    ++runs;
  }
  EXPECT_EQ(runs, 2);
}

TEST_F(WorkerProgram, SaysWhatIsWrongWithACheckpoint) {
  run(job(1, "out", {"--epochs", "1"}));
  const std::string whole = path("out", "last_model.pt");
  const std::string cut = directory.file("cut.pt");
  std::ofstream(cut, std::ios::binary) << read_file(whole).substr(0, 100000);
  const std::string text = directory.file("text.pt");
  std::ofstream(text) << "no checkpoint at all\n";
  for (const std::string& bad : {cut, text, directory.file("missing.pt")}) {
    for (const Words& command : {Words{"--resume", bad, "--output-dir", directory.file("new")},
                                 Words{"predict", "--checkpoint", bad, text}, Words{"eval", "--checkpoint", bad}}) {
      const Outcome ended = alone(command);
      EXPECT_NE(ended.status, 0);
      EXPECT_EQ(lines(ended.err), 1) << ended.err;
      EXPECT_THAT(ended.err, HasSubstr(bad));
    }
  }
}

TEST_F(WorkerProgram, RefusesACheckpointOfOtherClasses) {
  run(job(1, "out", {"--epochs", "1"}));
  for (const char* split : {"train", "val"}) {
    for (const char* name : {"cat", "dog"}) {
      const std::filesystem::path folder = directory.path() / "pets" / split / name;
      std::filesystem::create_directories(folder);
      std::ofstream(folder / "1.jpg") << "not looked at";
    }
  }
  const Outcome ended = alone({"--data", directory.file("pets"), "--image-size", "32", "--resume",
                               path("out", "last_model.pt"), "--output-dir", directory.file("new")});
  EXPECT_EQ(ended.status, 1);
  EXPECT_THAT(ended.err, AllOf(HasSubstr("cannot continue from"), HasSubstr("cat, dog")));
}

TEST_F(WorkerProgram, WarnsWhenAResumedRunDiffers) {
  run(job(1, "out", {"--epochs", "1"}));
  const Outcome resumed = outcome(job(1, "out", {"--resume", "--batch-size", "14", "--seed", "9"}));
  EXPECT_EQ(resumed.status, 0);
  EXPECT_THAT(resumed.out, AllOf(HasSubstr("batch_size was 12 and is 14"), HasSubstr("seed was 42 and is 9")));
}

TEST_F(WorkerProgram, PredictsAndEvaluates) {
  run(worker({"make-data", directory.file("faces"), "--faces", "10", "--image-size", "32"}));
  EXPECT_EQ(alone({"make-data", directory.file("faces")}).status, 1);
  run(job(2, "out", {"--data", directory.file("faces"), "--epochs", "1"}));
  const std::string best = path("out", "best_model.pt");
  const std::string happy = directory.file("faces") + "/val/happy/0000.jpg";
  const std::string sad = directory.file("faces") + "/val/sad/0000.jpg";

  const auto answers = nlohmann::json::parse(run(worker({"predict", "--checkpoint", best, "--json", happy, sad})));
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_EQ(answers[1]["file"], sad);
  double sum = 0;
  for (const auto& [name, share] : answers[0]["probabilities"].items()) sum += share.get<double>();
  EXPECT_EQ(answers[0]["probabilities"].size(), 7U);
  EXPECT_TRUE(answers[0]["probabilities"].contains("happy"));
  EXPECT_NEAR(sum, 1.0, 1e-5);
  EXPECT_THAT(run(worker({"predict", "--checkpoint", best, "--classes", "a,b,c,d,e,f,g", happy})), HasSubstr("  g 0."));
  EXPECT_EQ(alone({"predict", "--checkpoint", best, "--classes", "a,b", happy}).status, 2);

  const auto epochs = report::parse_metrics_csv(read_file(path("out", "metrics.csv")), "metrics.csv");
  ASSERT_TRUE(epochs.ok() && !epochs->empty());
  const std::string report = run(worker({"eval", "--checkpoint", best, "--data", directory.file("faces")}));
  EXPECT_NEAR(loss_told(report), epochs->back().val_loss, kLastDigit);
  EXPECT_THAT(report, HasSubstr("(14 pictures of " + directory.file("faces") + "/val at 32x32)"));
}

TEST_F(WorkerProgram, TestsTheBestModelOnceAtTheEnd) {
  const std::string faces = directory.file("faces");
  run(worker({"make-data", faces, "--faces", "10", "--image-size", "32"}));
  std::filesystem::copy(faces + "/val", faces + "/test", std::filesystem::copy_options::recursive);
  const std::string told = run(job(2, "out", {"--data", faces, "--epochs", "2", "--monitor", "val_loss"}));
  EXPECT_THAT(
      told, AllOf(HasSubstr("validated on "), HasSubstr("test of the best model: loss "), HasSubstr("macro average")));
  const auto test = nlohmann::json::parse(read_file(path("out", "test.json")));
  EXPECT_EQ(test["samples"], 14);
  EXPECT_EQ(test["predictions"].size(), 14U);
  const std::string best = path("out", "best_model.pt");
  const std::string again = run(worker({"eval", "--checkpoint", best, "--data", faces + "/test"}));
  EXPECT_NEAR(loss_told(again), test["loss"].get<double>(), kLastDigit);
  EXPECT_THAT(again, HasSubstr("(14 pictures of " + faces + "/test at 32x32)"));
  std::ofstream(faces + "/test/sad/list.txt") << "of somebody";
  const Outcome of_part = alone({"eval", "--checkpoint", best, "--data", faces, "--part", "test"});
  EXPECT_NEAR(loss_told(of_part.out), test["loss"].get<double>(), kLastDigit);
  EXPECT_THAT(of_part.out, HasSubstr("(14 pictures of the test part of " + faces + " at 32x32)"));
  EXPECT_THAT(of_part.err, HasSubstr("worker: note: " + faces +
                                     "/test: left out 1 file that is no picture by name "
                                     "(.txt), as torchvision does"));
  const Outcome plain = alone({"eval", "--checkpoint", best, "--data", faces + "/val", "--part", "val"});
  EXPECT_EQ(plain.status, 2);
  EXPECT_THAT(plain.err, HasSubstr("--part: " + faces + "/val has no train/"));
  EXPECT_EQ(read_file(path("out", "confusion_matrix.png")).substr(1, 3), "PNG");
  EXPECT_THAT(run(worker({"report", directory.file("out")})), HasSubstr("report.html"));
  EXPECT_THAT(read_file(path("out", "report.html")), HasSubstr("surprise"));
}

// Two models that begin alike, the second from what the first has saved.
TEST_F(WorkerProgram, BeginsWithGivenWeights) {
  run(job(1, "first", {"--epochs", "1"}));
  const std::string weights = path("first", "best_model.pt");
  const std::string told = run(job(2, "second", {"--epochs", "1", "--lr", "0", "--weights", weights}));
  EXPECT_THAT(told, HasSubstr("beginning with the weights of " + weights));
  const Outcome missing = outcome(job(2, "third", {"--weights", directory.file("none.pt")}));
  EXPECT_EQ(missing.status, 1);
  EXPECT_THAT(missing.err, AllOf(HasSubstr("--weights: "), HasSubstr("none.pt")));
}

TEST_F(WorkerProgram, NamesRanksThatSeeOtherPictures) {
  for (const char* copy : {"0", "1"}) {
    run(worker({"make-data", directory.file("faces") + copy, "--faces", "10", "--image-size", "32"}));
  }
  std::filesystem::remove(directory.file("faces1") + "/train/happy/0003.jpg");
  const std::string script = "exec " FERRUN_BIN_DIR "/worker --epochs 1 --image-size 32 --batch-size 12 --data " +
                             directory.file("faces") + "$RANK --output-dir " + directory.file("out");
  const Outcome differ = outcome({FERRUN_BIN_DIR "/ferrun", "--nproc-per-node", "2", "sh", "-c", script});
  EXPECT_EQ(differ.status, 1);
  EXPECT_THAT(differ.err, AllOf(HasSubstr("the data of the ranks differ: rank 0 has 70 pictures"),
                                HasSubstr("rank 1 has 69 pictures")));
}

TEST_F(WorkerProgram, NamesABrokenPictureOrSkipsIt) {
  run(worker({"make-data", directory.file("faces"), "--faces", "10", "--image-size", "32"}));
  const std::string broken = directory.file("faces") + "/train/happy/0003.jpg";
  std::filesystem::resize_file(broken, 200);
  const Words data = {"--data", directory.file("faces"), "--epochs", "1"};
  const Outcome failed = outcome(job(2, "fail", data));
  EXPECT_EQ(failed.status, 1);
  EXPECT_THAT(failed.err, HasSubstr(broken));
  Words skipping = data;
  skipping.insert(skipping.end(), {"--bad-images", "skip"});
  const Outcome skipped = outcome(job(2, "skip", skipping));
  EXPECT_EQ(skipped.status, 0) << skipped.err;
  EXPECT_THAT(skipped.err, AllOf(HasSubstr("has skipped 1 broken picture so far"), HasSubstr(broken)));
  const Outcome evaluated = alone({"eval", "--checkpoint", path("skip", "best_model.pt"), "--data",
                                   directory.file("faces") + "/train", "--bad-images", "skip"});
  EXPECT_THAT(evaluated.out, HasSubstr("(69 pictures of "));
  EXPECT_THAT(evaluated.err, AllOf(HasSubstr("has skipped 1 broken picture, first: "), HasSubstr(broken)));
}

TEST_F(WorkerProgram, TakesItsStepsWhenAWholeBatchIsBroken) {
  run(worker({"make-data", directory.file("faces"), "--faces", "2", "--image-size", "32"}));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory.file("faces") + "/train/sad")) {
    std::filesystem::resize_file(entry.path(), 100);
  }
  const Outcome ended = outcome(job(2, "out",
                                    {"--data", directory.file("faces"), "--image-size", "64", "--batch-size", "2",
                                     "--epochs", "1", "--bad-images", "skip"}));
  EXPECT_EQ(ended.status, 0) << ended.err;
  EXPECT_THAT(read_file(path("out", "metrics.csv")), Not(HasSubstr("nan")));
}

TEST_F(WorkerProgram, TellsAWrongCommandLineOnceForAllRanks) {
  const Outcome ended = outcome(job(2, "out", {"--bogus"}));
  EXPECT_EQ(ended.status, 2);
  EXPECT_THAT(ended.err, HasSubstr("worker: there is no option --bogus"));
  EXPECT_EQ(ended.err.find("worker: there"), ended.err.rfind("worker: there")) << ended.err;
  EXPECT_EQ(alone({"--image-size", "48"}).status, 2);
  EXPECT_EQ(outcome(job(2, "out", {"--batch-size", "1"})).status, 2);
  const Outcome single = outcome(job(2, "out", {"--batch-size", "3"}));  // the second rank has one of three
  EXPECT_EQ(single.status, 2);
  EXPECT_THAT(single.err, HasSubstr("a batch of one picture of 32x32"));
  EXPECT_EQ(alone({"--data", directory.file("nowhere")}).status, 1);
}

// The rank that leaves the message to rank 0 is the first to know; ferrun ends rank 0 as soon as the other one ends.
TEST_F(WorkerProgram, WaitsForTheRankThatTellsAFailure) {
  const std::string script =
      "if [ $RANK = 0 ]; then until [ -e \"${TORCHELASTIC_ERROR_FILE%/0/error.json}/1/error.json\" ]; do sleep 0.01; "
      "done; fi; exec " FERRUN_BIN_DIR "/worker --bogus";
  const Outcome ended = outcome(
      {FERRUN_BIN_DIR "/ferrun", "--nproc-per-node", "2", "--log-dir", directory.file("logs"), "sh", "-c", script});
  EXPECT_EQ(ended.status, 2);
  EXPECT_THAT(ended.err, AllOf(HasSubstr("worker: there is no option --bogus"), HasSubstr("Root cause: rank 0")));
}

TEST_F(WorkerProgram, ShowsItsHelpOnceForAllRanks) {
  const std::string help = run(worker({"--help"}));
  EXPECT_EQ(run({FERRUN_BIN_DIR "/ferrun", "--nproc-per-node", "2", FERRUN_BIN_DIR "/worker", "--help"}), help);
}

TEST_F(WorkerProgram, SaysWhenItsOutputGoesNowhere) {
  run(job(1, "out", {"--epochs", "1"}));
  run(worker({"make-data", directory.file("faces"), "--faces", "1", "--image-size", "32"}));
  for (const std::string& arguments :
       {std::string("--help"), std::string("--version"),
        "predict --checkpoint " + path("out", "last_model.pt") + " " + directory.file("faces") + "/val/sad/0000.jpg",
        "eval --checkpoint " + path("out", "last_model.pt") + " --data " + directory.file("faces")}) {
    const Outcome ended = outcome({"sh", "-c", "exec " FERRUN_BIN_DIR "/worker " + arguments + " >/dev/full"});
    EXPECT_EQ(ended.status, 1) << arguments;
    EXPECT_EQ(ended.err, "worker: cannot write to standard output: No space left on device\n") << arguments;
  }
}

TEST_F(WorkerProgram, KeepsTheBestModelBeforeTheLast) {
  run(job(1, "out", {"--epochs", "1"}));
  const std::string first = read_file(path("out", "best_model.pt"));
  EXPECT_EQ(read_file(path("out", "previous_best_model.pt")), "");
  run(job(1, "out", {"--epochs", "1", "--overwrite", "--seed", "1"}));
  EXPECT_TRUE(read_file(path("out", "previous_best_model.pt")) == first);
}

TEST_F(WorkerProgram, TrainsInMixedPrecision) {
  for (const Words& amp :
       {Words{"--amp"}, Words{"--amp", "bf16"}, Words{"--amp=fp16", "--epochs", "1", "--faces", "4"}}) {
    Words more = {"--epochs", "1", "--optimizer", "adamw", "--no-channels-last", "--overwrite"};
    more.insert(more.end(), amp.begin(), amp.end());
    EXPECT_THAT(run(job(2, "out", more)), ContainsRegex(amp.front() == "--amp=fp16" ? "fp16" : "bf16"));
  }
}

}  // namespace
}  // namespace ferrun::testing
