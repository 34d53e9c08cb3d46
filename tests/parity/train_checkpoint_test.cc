// The worker's checkpoints in Python, and Python's in the worker: training, prediction and evaluation cross over.
#include <gmock/gmock.h>

#include "tests/parity/data_peer.h"
#include "tests/process/process_test_support.h"

namespace ferrun::parity {
namespace {

using ::testing::HasSubstr;

class WorkerCheckpoint : public PeerTest {
 protected:
  std::string worker(std::vector<std::string> words) {
    words.insert(words.begin(), FERRUN_BIN_DIR "/worker");
    testing::Program program(words, {.environment = {"OMP_NUM_THREADS=1"}});
    const ExitStatus status = program.wait();
    EXPECT_TRUE(status.success()) << program.err();
    return program.out();
  }
  std::string file(const std::string& name) const { return result(name).string(); }
};

TEST_F(WorkerCheckpoint, CrossesOverToPythonAndBack) {
  const std::vector<std::string> tiny = {"--faces", "4", "--batch-size", "14", "--output-dir", file("ours")};
  std::vector<std::string> train = tiny;
  train.insert(train.end(), {"--epochs", "1"});
  worker(train);
  run_peer("train_checkpoint_peer.py", "'" + file("ours") + "/last_model.pt'");
  if (IsSkipped() || HasFatalFailure()) return;
  EXPECT_EQ(manifest()["classes"].size(), 7U);

  std::vector<std::string> resume = {"--faces",         "4",        "--batch-size",         "14",       "--output-dir",
                                     file("continued"), "--resume", file("from_python.pt"), "--epochs", "2"};
  EXPECT_THAT(worker(resume), HasSubstr("continuing after epoch 1"));
  worker({"make-data", file("faces"), "--faces", "2"});
  const std::string picture = file("faces") + "/val/happy/0000.jpg";
  for (const char* name : {"from_python.pt", "weights_only.pt"}) {
    const std::string answer = worker({"predict", "--json", "--image-size", "64", "--checkpoint", file(name), picture});
    EXPECT_TRUE(nlohmann::json::parse(answer)[0]["probabilities"].contains("6")) << answer;
  }
}

}  // namespace
}  // namespace ferrun::parity
