// What a PyTorch tutorial builds from ImageFolder, Compose and DataLoader, batch for batch; and early stopping, epoch
// for epoch.
#include <cmath>
#include <cstring>

#include "tests/parity/data_peer.h"
#include "worker/data/image_folder.h"
#include "worker/data/recipe.h"
#include "worker/train/early_stopping.h"
#include "worker/train/sharded_loader.h"

namespace ferrun::train {
namespace {

using TutorialParity = parity::PeerTest;

// The peer's compositions, by torchvision's names and arguments.
constexpr const char* kRecipe = R"({
  "train": [
    {"name": "Resize", "size": 72},
    {"name": "CenterCrop", "size": [70, 66]},
    {"name": "RandomHorizontalFlip", "p": 1.0},
    {"name": "RandomRotation", "degrees": [30.0, 30.0]},
    {"name": "RandomVerticalFlip", "p": 1.0},
    {"name": "RandomAffine", "degrees": [-12.5, -12.5], "scale": [1.25, 1.25], "shear": [5.0, 5.0]},
    {"name": "Resize", "size": [64, 64]},
    {"name": "RandomCrop", "size": 64},
    {"name": "ToTensor"},
    {"name": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
  ],
  "validation": [
    {"name": "Resize", "size": 64},
    {"name": "CenterCrop", "size": 64},
    {"name": "ToTensor"},
    {"name": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
  ]
})";

TEST_F(TutorialParity, BatchesOfAFolderAreDataLoaders) {
  run_peer("tutorial_peer.py");
  if (IsSkipped() || HasFatalFailure()) return;
  const auto recipe = data::parse_recipe(kRecipe, "recipe");
  ASSERT_TRUE(recipe.ok()) << recipe.error().message;
  const auto pictures = data::ImageFolder::open(result("pictures").string());
  ASSERT_TRUE(pictures.ok()) << pictures.error().message;
  for (const bool trains : {true, false}) {
    const std::string name = trains ? "train" : "validation";
    ShardedLoaderOptions options;
    options.batch_size = 5;
    options.shuffle = trains;
    options.loader.threads = 2;
    options.loader.seed = 42;
    ShardedLoader loader(*pictures, trains ? recipe->train : recipe->validation, options, {1, 0});
    loader.start(/*epoch=*/3);
    const auto& theirs = manifest()["batches"][name];
    ASSERT_EQ(loader.batches(), static_cast<int64_t>(theirs.size()));
    for (size_t i = 0; i < theirs.size(); ++i) {
      const auto batch = loader.next();
      ASSERT_TRUE(batch.ok()) << batch.error().message;
      EXPECT_EQ(batch->labels, theirs[i].get<std::vector<int64_t>>()) << name << " " << i;
      const std::vector<uint8_t> pixels = parity::read_bytes(result(name + std::to_string(i)));
      ASSERT_EQ(pixels.size(), batch->labels.size() * 3 * 64 * 64 * sizeof(float));
      EXPECT_EQ(std::memcmp(batch->pixels.data(), pixels.data(), pixels.size()), 0) << name << " " << i;
    }
  }
}

TEST_F(TutorialParity, EarlyStoppingCountsAsReduceLrOnPlateau) {
  run_peer("tutorial_peer.py");
  if (IsSkipped() || HasFatalFailure()) return;
  int stopped = 0;
  for (const auto& run : manifest()["runs"]) {
    EarlyStopping stopping;
    stopping.monitor = run["larger"] ? Monitor::kF1 : Monitor::kLoss;
    stopping.min_delta = run["min_delta"];
    stopping.patience = run["patience"];
    const auto& values = run["values"];
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_FALSE(stopping.exhausted()) << run;
      const double value = values[i].is_null() ? std::nan("") : values[i].get<double>();
      ASSERT_EQ(stopping.improved_by(value, static_cast<int64_t>(i) + 1), run["best"][i]) << i << " of " << run;
    }
    EXPECT_EQ(stopping.exhausted(), !run["ends"].is_null()) << run;
    stopped += stopping.exhausted() ? 1 : 0;
  }
  EXPECT_GT(stopped, 100);
}

}  // namespace
}  // namespace ferrun::train
