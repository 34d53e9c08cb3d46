// Class metrics against scikit-learn, event files against TensorBoard.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "tests/peer_python.h"
#include "tests/temporary_directory.h"
#include "worker/report/class_metrics.h"
#include "worker/report/curves.h"
#include "worker/report/output_file.h"
#include "worker/report/tensorboard_log.h"

namespace ferrun::report {
namespace {

// The first statement of a test that needs TensorBoard or scikit-learn.
#define FERRUN_NEEDS_REPORT_PEER()                                                                            \
  if (report_peer_python().empty()) {                                                                         \
    if (peer_required()) FAIL() << "TensorBoard and scikit-learn are required and absent: run scripts/setup"; \
    GTEST_SKIP() << "no TensorBoard and scikit-learn (install them with scripts/setup --with-peer, or set "   \
                    "FERRUN_REPORT_PEER_PYTHON)";                                                             \
  }                                                                                                           \
  static_assert(true, "")

class ReportPeer : public ::testing::Test {
 protected:
  nlohmann::json ask(const std::string& arguments, const std::string& input = "") {
    EXPECT_TRUE(write_file(folder_.file("input"), std::string_view(input)).ok());
    const std::string command =
        "'" + report_peer_python() + "' -W ignore '" FERRUN_SOURCE_DIR "/tests/parity/report_peer.py' " + arguments +
        " < '" + folder_.file("input") + "' > '" + folder_.file("answer") + "' 2> '" + folder_.file("errors") + "'";
    EXPECT_EQ(std::system(command.c_str()), 0) << *read_file(folder_.file("errors"));
    return nlohmann::json::parse(*read_file(folder_.file("answer")), nullptr, false);
  }
  std::string logs() const { return folder_.file("tensorboard"); }

 private:
  const testing::TemporaryDirectory folder_;
};

void expect_metrics(const nlohmann::json& theirs, const ConfusionMatrix& confusion) {
  const ClassMetrics ours = ClassMetrics::of(confusion);
  for (size_t i = 0; i < confusion.size(); ++i) {
    EXPECT_DOUBLE_EQ(ours.classes[i].precision, theirs["precision"][i].get<double>()) << i;
    EXPECT_DOUBLE_EQ(ours.classes[i].recall, theirs["recall"][i].get<double>()) << i;
    EXPECT_DOUBLE_EQ(ours.classes[i].f1, theirs["f1"][i].get<double>()) << i;
    EXPECT_EQ(ours.classes[i].support, theirs["support"][i].get<int64_t>()) << i;
  }
  EXPECT_DOUBLE_EQ(ours.accuracy, theirs["accuracy"].get<double>());
  EXPECT_NEAR(ours.macro_precision, theirs["macro_precision"].get<double>(), 1e-14);
  EXPECT_NEAR(ours.macro_recall, theirs["macro_recall"].get<double>(), 1e-14);
  EXPECT_NEAR(ours.macro_f1, theirs["macro_f1"].get<double>(), 1e-14);
  EXPECT_NEAR(ours.weighted_precision, theirs["weighted_precision"].get<double>(), 1e-14);
  EXPECT_NEAR(ours.weighted_recall, theirs["weighted_recall"].get<double>(), 1e-14);
  EXPECT_NEAR(ours.weighted_f1, theirs["weighted_f1"].get<double>(), 1e-14);
}

// `truths` and `predictions` are drawn from so many of the classes: others never occur there.
TEST_F(ReportPeer, HasTheSameClassMetrics) {
  FERRUN_NEEDS_REPORT_PEER();
  struct Draw {
    int classes, samples, of_truths, of_predictions;
  };
  std::mt19937 random(11);
  nlohmann::json questions = nlohmann::json::array();
  std::vector<ConfusionMatrix> matrices;
  for (const Draw& draw :
       {Draw{7, 500, 7, 7}, {2, 9, 2, 2}, {7, 40, 5, 7}, {7, 40, 7, 4}, {30, 60, 30, 30}, {5, 20, 3, 2}}) {
    ConfusionMatrix confusion{std::vector<std::string>(static_cast<size_t>(draw.classes)),
                              std::vector<int64_t>(static_cast<size_t>(draw.classes * draw.classes))};
    nlohmann::json truths = nlohmann::json::array();
    nlohmann::json predictions = nlohmann::json::array();
    for (int i = 0; i < draw.samples; ++i) {
      const int truth = static_cast<int>(random() % static_cast<unsigned>(draw.of_truths));
      const int prediction = random() % 2 == 0
                                 ? std::min(truth, draw.of_predictions - 1)
                                 : static_cast<int>(random() % static_cast<unsigned>(draw.of_predictions));
      truths.push_back(truth);
      predictions.push_back(prediction);
      ++confusion.counts[static_cast<size_t>(truth * draw.classes + prediction)];
    }
    questions.push_back({truths, predictions, draw.classes});
    matrices.push_back(confusion);
  }
  const nlohmann::json theirs = ask("metrics", questions.dump());
  ASSERT_EQ(theirs.size(), matrices.size());
  for (size_t i = 0; i < matrices.size(); ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    expect_metrics(theirs[i], matrices[i]);
  }
}

EpochMetrics epoch(int64_t number, double loss) { return {number, 1e-3, loss, 0.25, 2 * loss, 0.5, 0.375}; }

TEST_F(ReportPeer, OpensTheEventFilesOfARunThatWasKilledAndWentOn) {
  FERRUN_NEEDS_REPORT_PEER();
  const auto no_warning = [](const std::string& line) { ADD_FAILURE() << line; };
  {
    TensorBoardLog killed(logs(), no_warning);
    killed.start({});
    for (int64_t i = 1; i <= 4; ++i) killed.add_epoch(epoch(i, 8.0));
  }
  // The kill cut the last record, and the checkpoint is from the end of epoch 2.
  for (const auto& file : std::filesystem::directory_iterator(logs())) {
    std::filesystem::resize_file(file, std::filesystem::file_size(file) - 5);
  }
  {
    TensorBoardLog resumed(logs(), no_warning);
    resumed.start({epoch(1, 8.0), epoch(2, 8.0)});
    for (int64_t i = 3; i <= 5; ++i) resumed.add_epoch(epoch(i, 4.0));
    resumed.add_picture("curves", 5, curves_png({epoch(1, 8.0), epoch(2, 8.0)}, 2));
  }
  const nlohmann::json seen = ask("tensorboard '" + logs() + "'");
  EXPECT_EQ(seen["scalars"]["loss/train"], nlohmann::json::parse("[[1, 8], [2, 8], [3, 4], [4, 4], [5, 4]]"));
  EXPECT_EQ(seen["scalars"]["f1/val"][4], nlohmann::json::parse("[5, 0.375]"));
  EXPECT_EQ(seen["scalars"]["lr"][0], nlohmann::json({1, 1e-3f}));
  EXPECT_EQ(seen["scalars"].size(), 6u);
  EXPECT_EQ(seen["images"]["curves"], nlohmann::json::parse("[[5, 1800, 690]]"));
}

}  // namespace
}  // namespace ferrun::report
