// Decoded pictures equal Pillow's convert("RGB") in every byte.
#include "tests/parity/data_peer.h"
#include "worker/data/image_file.h"

namespace ferrun::data {
namespace {

using DecodeParity = parity::PeerTest;

TEST_F(DecodeParity, EveryKindOfJpegAndPngHasPillowsBytes) {
  run_peer("data_pictures.py");
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_GT(manifest().size(), 100u);
  for (const auto& entry : manifest()) {
    const std::string file = entry["file"];
    SCOPED_TRACE(file);
    const Result<Image> ours = read_image(result(file).string());
    if (!ours) {
      ADD_FAILURE() << ours.error().message;
      continue;
    }
    EXPECT_EQ(ours.value().width, entry["width"]);
    EXPECT_EQ(ours.value().height, entry["height"]);
    EXPECT_TRUE(ours.value().pixels == parity::read_bytes(result(file + ".rgb"))) << "pixels differ";
    if (!entry.contains("upright")) continue;
    Image turned;
    ASSERT_TRUE(read_image(result(file).string(), turned, {.exif_orientation = true}));
    EXPECT_EQ(turned.size(), (ImageSize{entry["upright"][0], entry["upright"][1]}));
    EXPECT_TRUE(turned.pixels == parity::read_bytes(result(file + ".upright"))) << "turned otherwise";
  }
}

}  // namespace
}  // namespace ferrun::data
