// A folder's classes and pictures have torchvision's order, index for index.
#include "tests/parity/data_peer.h"
#include "worker/data/image_folder.h"

namespace ferrun::data {
namespace {

using FolderParity = parity::PeerTest;

TEST_F(FolderParity, IndicesEqualImageFolders) {
  // Real faces where they are there; the generated tree always.
  const std::filesystem::path faces = std::filesystem::path(FERRUN_SOURCE_DIR).parent_path() / "shared/data/fer-sample";
  std::string arguments;
  if (std::filesystem::is_directory(faces))
    arguments = "'" + (faces / "train").string() + "' '" + (faces / "val").string() + "'";
  run_peer("data_folders.py", arguments);
  if (IsSkipped() || HasFatalFailure()) return;
  for (const auto& entry : manifest()) {
    SCOPED_TRACE(entry["root"]);
    const auto ours = ImageFolder::open(entry["root"]);
    ASSERT_TRUE(ours) << ours.error().message;
    EXPECT_EQ((*ours)->classes(), entry["classes"].get<std::vector<std::string>>());
    ASSERT_EQ((*ours)->size(), static_cast<int64_t>(entry["samples"].size()));
    EXPECT_GT((*ours)->size(), 100);
    for (int64_t i = 0; i < (*ours)->size(); ++i) {
      const auto& sample = entry["samples"][static_cast<size_t>(i)];
      ASSERT_EQ((*ours)->name(i), sample[0]) << i;
      ASSERT_EQ((*ours)->label(i), sample[1]) << i;
    }
  }
}

}  // namespace
}  // namespace ferrun::data
