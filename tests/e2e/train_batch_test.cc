// What a step learns from is its samples, however they are dealt: to ranks, or to batches that add up. Every picture of
// these runs is the same one, so that BatchNorm, which looks at a rank's batch alone, sees the same everywhere.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "tests/e2e/train_support.h"
#include "worker/checkpoint/reader.h"

namespace ferrun::testing {
namespace {

class DealtBatch : public Training {
 protected:
  void SetUp() override {
    run(worker({"make-data", directory.file("drawn"), "--faces", "1", "--image-size", "64"}));
    const std::filesystem::path picture = directory.file("drawn") + "/train/happy/0000.jpg";
    const std::pair<const char*, int> classes[] = {{"few", 3}, {"many", 13}, {"some", 8}};
    for (const auto& [name, number] : classes) {
      copy_picture(picture, std::string("train/") + name, number);
      copy_picture(picture, std::string("val/") + name, 1);
    }
    write_recipe();
  }
  // One step of all 24 pictures: a second one would enlarge the first one's rounding. What became of the weights.
  at::Tensor weights_after(const std::string& output, int ranks, const Words& more, const Words& recipe) const {
    Words options = {"--data",       directory.file("faces"),
                     "--transforms", directory.file("transforms.json"),
                     "--lr",         "0.01",
                     "--momentum",   "0",
                     "--epochs",     "1",
                     "--optimizer",  "sgd"};
    // job() gives a size of its own, which the last one overrules.
    options.insert(options.end(), {"--image-size", "64"});
    options.insert(options.end(), more.begin(), more.end());
    options.insert(options.end(), recipe.begin(), recipe.end());
    run(job(ranks, output, options));
    const auto checkpoint = checkpoint::read(path(output, "last_model.pt"));
    EXPECT_TRUE(checkpoint.ok());
    return checkpoint->find("model_state_dict")->find("classify.linear.weight")->get<at::Tensor>()->to(at::kDouble);
  }

 private:
  void copy_picture(const std::filesystem::path& picture, const std::string& folder, int number) const {
    const std::filesystem::path to = directory.file("faces") + "/" + folder;
    std::filesystem::create_directories(to);
    for (int i = 0; i < number; ++i) std::filesystem::create_hard_link(picture, to / (std::to_string(i) + ".jpg"));
  }
  void write_recipe() const {
    const std::string steps = R"([{"name":"Resize","size":[64,64]},{"name":"ToTensor"},)"
                              R"({"name":"Normalize","mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}])";
    std::ofstream(directory.file("transforms.json")) << R"({"train":)" << steps << R"(,"validation":)" << steps << "}";
  }
};

double apart(const at::Tensor& a, const at::Tensor& b) { return a.sub(b).norm().item<double>(); }

class DealtBatchOf : public DealtBatch, public ::testing::WithParamInterface<Words> {};
INSTANTIATE_TEST_SUITE_P(Recipes, DealtBatchOf,
                         ::testing::Values(Words{}, Words{"--class-weights", "balanced"},
                                           Words{"--class-weights", "balanced", "--label-smoothing", "0.2"}));

TEST_P(DealtBatchOf, TeachesTheSameOnOneRankOnThreeAndInThreeParts) {
  const at::Tensor whole = weights_after("whole", 1, {"--batch-size", "24"}, GetParam());
  const at::Tensor dealt = weights_after("dealt", 3, {"--batch-size", "24"}, GetParam());
  const at::Tensor parts = weights_after("parts", 1, {"--batch-size", "8", "--accumulate", "3"}, GetParam());
  const at::Tensor untaught = weights_after("untaught", 1, {"--batch-size", "24", "--lr", "0"}, GetParam());
  const double way = apart(whole, untaught);
  EXPECT_GT(way, 1e-5);
  EXPECT_LT(apart(dealt, whole), 1e-3 * way);
  EXPECT_LT(apart(parts, whole), 1e-3 * way);
}

}  // namespace
}  // namespace ferrun::testing
