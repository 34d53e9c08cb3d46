// `worker predict` and `worker export` with weights as PyTorch's users have them: the answers are PyTorch's, and our
// exports give PyTorch the same model.
#include <gmock/gmock.h>

#include <cmath>

#include "tests/parity/data_peer.h"
#include "tests/process/process_test_support.h"

namespace ferrun::parity {
namespace {

using ::testing::HasSubstr;

class Weights : public PeerTest {
 protected:
  struct Ended {
    bool success;
    std::string out;
    std::string err;
  };
  Ended worker(std::vector<std::string> words) const {
    words.insert(words.begin(), FERRUN_BIN_DIR "/worker");
    testing::Program program(words, {.environment = {"OMP_NUM_THREADS=1"}});
    const bool success = program.wait().success();
    return {success, program.out(), program.err()};
  }
  // Draws the picture, lets PyTorch save its files and answer for it.
  void run_weights_peer() {
    const Ended made = worker({"make-data", file("faces"), "--faces", "5", "--image-size", "80"});
    ASSERT_TRUE(made.success) << made.err;
    run_peer("weights_peer.py", "'" + picture() + "'");
  }
  Ended predict(const std::string& checkpoint) const { return predict(checkpoint, {picture()}); }
  Ended predict(const std::string& checkpoint, const std::vector<std::string>& words) const {
    std::vector<std::string> all{"predict", "--json", "--image-size", "64", "--checkpoint", file(checkpoint)};
    all.insert(all.end(), words.begin(), words.end());
    return worker(all);
  }
  std::string file(const std::string& name) const { return result(name).string(); }
  std::string picture() const { return file("faces") + "/val/happy/0000.jpg"; }
  double difference(const std::string& answer, const char* expected = "probabilities") const {
    double largest = 0;
    const auto probabilities = nlohmann::json::parse(answer)[0]["probabilities"];
    for (size_t i = 0; i < 7; ++i) {
      largest = std::max(
          largest, std::abs(probabilities[std::to_string(i)].get<double>() - manifest()[expected][i].get<double>()));
    }
    return largest;
  }
};

TEST_F(Weights, OfEveryKindGivePyTorchsAnswer) {
  run_weights_peer();
  if (IsSkipped() || HasFatalFailure()) return;
  for (const char* name :
       {"plain.pt", "legacy.pt", "lightning.pt", "compiled.pt", "double.pt", "no_counter.pt", "gpu.pt"}) {
    const Ended answer = predict(name);
    ASSERT_TRUE(answer.success) << name << ": " << answer.err;
    EXPECT_LT(difference(answer.out), 2e-7) << name;
  }
}

// As ImageOps.exif_transpose and Image.open give the picture, by the flags or as the checkpoint's run had it.
TEST_F(Weights, PicturesAreTurnedAsAskedForOrAsTheCheckpointSays) {
  run_weights_peer();
  if (IsSkipped() || HasFatalFailure()) return;
  const auto off_by = [&](const std::string& checkpoint, std::vector<std::string> words) {
    words.push_back(file("turned.jpg"));
    const Ended answer = predict(checkpoint, words);
    EXPECT_TRUE(answer.success) << answer.err;
    return answer.success ? difference(answer.out, "upright") : 1.0;
  };
  EXPECT_LT(off_by("upright.pt", {}), 1e-4);
  EXPECT_LT(off_by("observant.pt", {"--exif-orientation"}), 1e-4);
  EXPECT_GT(off_by("observant.pt", {}), 1e-2);
  EXPECT_GT(off_by("upright.pt", {"--no-exif-orientation"}), 1e-2);
  EXPECT_THAT(predict("observant.pt", {"--max-pixels", "100", file("turned.jpg")}).err, HasSubstr("(--max-pixels)"));
}

// --no-strict is load_state_dict(strict=False): the same names are missing and unexpected. Without it neither loads.
TEST_F(Weights, ThatFitInPartAreTakenUpAsByStrictFalse) {
  run_weights_peer();
  if (IsSkipped() || HasFatalFailure()) return;
  const auto names = [&](const char* list) {
    std::string text;
    for (const std::string name : manifest()[list]) text += (text.empty() ? "" : ", ") + name;
    return text;
  };
  ASSERT_EQ(names("missing"), "classify.linear.weight, classify.linear.bias");
  std::vector<std::string> train{"--faces",   "4",         "--batch-size",    "14", "--epochs", "1", "--output-dir",
                                 file("run"), "--weights", file("partial.pt")};
  const Ended strict = worker(train);
  EXPECT_FALSE(strict.success);
  EXPECT_THAT(strict.err, HasSubstr("--no-strict"));
  train.push_back("--no-strict");
  const Ended begun = worker(train);
  ASSERT_TRUE(begun.success) << begun.err;
  EXPECT_THAT(begun.out, HasSubstr("missing in it, and drawn from the seed: " + names("missing") + "\n"));
  EXPECT_THAT(begun.out, HasSubstr("unexpected in it, and left out: " + names("unexpected") + "\n"));
}

TEST_F(Weights, WhatIsNoneIsToldInOneLine) {
  run_weights_peer();
  if (IsSkipped() || HasFatalFailure()) return;
  const auto expect_refused = [&](const std::string& name, const std::string& reason) {
    const Ended answer = predict(name);
    EXPECT_FALSE(answer.success) << name;
    EXPECT_EQ(std::count(answer.err.begin(), answer.err.end(), '\n'), 1) << answer.err;
    EXPECT_THAT(answer.err, HasSubstr(reason));
    EXPECT_THAT(answer.err, HasSubstr(file(name)));
    EXPECT_THAT(answer.out, ::testing::Not(HasSubstr("nan")));
  };
  expect_refused("whole.pt", "emotion_net.EmotionNet");
  expect_refused("whole_legacy.pt", "[\"model\"].state_dict()");
  expect_refused("script.pt", "TorchScript");
  expect_refused("legacy_view.pt", "no EmotionNet weights");
  expect_refused("nan.pt", "not finite");
}

TEST_F(Weights, ExportsGivePyTorchTheSameModel) {
  run_weights_peer();
  if (IsSkipped() || HasFatalFailure()) return;
  for (const char* format : {"state-dict", "safetensors", "torchscript"}) {
    const std::vector<std::string> words{"export", "--checkpoint", file("plain.pt"), "--format", format, file(format)};
    const Ended wrote = worker(words);
    ASSERT_TRUE(wrote.success) << wrote.err;
    const Ended again = worker(words);
    EXPECT_FALSE(again.success);
    EXPECT_THAT(again.err, HasSubstr("--overwrite"));
  }
  const Ended answer = predict("safetensors");
  ASSERT_TRUE(answer.success) << answer.err;
  EXPECT_LT(difference(answer.out), 2e-6);
  EXPECT_THAT(predict("torchscript").err, HasSubstr("is a TorchScript archive"));
  run_peer("weights_peer.py", "check");
  EXPECT_LE(manifest()["difference"].get<double>(), 1e-5);
}

// Python prepares a picture by what the exported program carries, and gets what `predict` gets from the checkpoint and
// from the other export.
TEST_F(Weights, ExportsSayHowTheirPicturesArePrepared) {
  run_weights_peer();
  if (IsSkipped() || HasFatalFailure()) return;
  const auto answer_of = [&](const std::string& checkpoint) {
    const Ended answer = worker({"predict", "--json", "--checkpoint", file(checkpoint), file("turned.jpg")});
    EXPECT_TRUE(answer.success) << answer.err;
    return answer.success ? difference(answer.out, "prepared") : 1.0;
  };
  EXPECT_LT(answer_of("prepared.pt"), 1e-4);
  for (const std::string format : {"safetensors", "torchscript", "state-dict"}) {
    const Ended wrote =
        worker({"export", "--checkpoint", file("prepared.pt"), "--format", format, file("prepared." + format)});
    ASSERT_TRUE(wrote.success) << wrote.err;
    EXPECT_THAT(wrote.out, HasSubstr(R"({"name":"Normalize","mean":[0.5,0.5,0.5],"std":[0.25,0.25,0.25]}])"
                                     ", of pictures that are turned upright as their EXIF data says"));
  }
  EXPECT_LT(answer_of("prepared.safetensors"), 1e-4);
  EXPECT_THAT(worker({"export", "--checkpoint", file("plain.pt"), "--format", "torchscript", file("plain.ts")}).out,
              HasSubstr("does not say how its pictures were prepared"));
  run_peer("weights_peer.py", "prepared");
  EXPECT_LT(manifest()["difference"].get<double>(), 1e-5);
}

}  // namespace
}  // namespace ferrun::parity
