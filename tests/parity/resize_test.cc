// Resize, rotation and the whole transform against Pillow and torchvision: equal bytes, and floats equal in every bit.
#include "worker/data/resize.h"

#include <bit>

#include "tests/parity/data_peer.h"
#include "worker/data/fused_transform.h"
#include "worker/data/picture_ops.h"
#include "worker/data/rotation.h"

namespace ferrun::data {
namespace {

class TransformParity : public parity::PeerTest {
 protected:
  Image picture(const std::string& name, const nlohmann::json& entry) const {
    return {entry["width"], entry["height"], parity::read_bytes(result(name))};
  }
};

// As the fused pass rotates: in rows.
Image rotate_by_rows(const Image& image, double degrees) {
  Image rotated{image.width, image.height, std::vector<uint8_t>(image.pixels.size())};
  const Rotation rotation(degrees, image.width, image.height);
  for (int y = 0; y < image.height; ++y) {
    const Rotation::Row row = rotation.row(y);
    for (int x = row.begin; x < row.end; ++x) {
      const int from = ((row.y0 + x * row.dy) >> 16) * image.width + ((row.x0 + x * row.dx) >> 16);
      std::copy_n(&image.pixels[static_cast<size_t>(3 * from)], 3,
                  &rotated.pixels[static_cast<size_t>(3 * (y * image.width + x))]);
    }
  }
  return rotated;
}

size_t differing_bits(const std::vector<float>& ours, const std::vector<uint8_t>& theirs) {
  size_t different = 0;
  for (size_t i = 0; i < ours.size(); ++i) different += std::memcmp(&ours[i], &theirs[4 * i], 4) != 0;
  return different;
}

TEST_F(TransformParity, ResizeRotationAndPipelineEqualTorchvision) {
  run_peer("resize_peer.py");
  if (IsSkipped() || HasFatalFailure()) return;
  int number = 0;
  for (const auto& entry : manifest()["resize"]) {
    const std::string name = "resize-" + std::to_string(number++);
    const Image ours = resize(picture(name, entry), entry["to_width"], entry["to_height"]);
    EXPECT_TRUE(ours.pixels == parity::read_bytes(result(name + ".out"))) << entry;
  }
  EXPECT_GT(number, 100);

  number = 0;
  for (const auto& entry : manifest()["rotate"]) {
    const std::string name = "rotate-" + std::to_string(number++);
    const std::vector<uint8_t> theirs = parity::read_bytes(result(name + ".out"));
    EXPECT_TRUE(rotate_by_rows(picture(name, entry), entry["degrees"]).pixels == theirs) << entry;
    EXPECT_TRUE(rotate(picture(name, entry), entry["degrees"]).pixels == theirs) << entry;
  }
  EXPECT_GT(number, 50);

  number = 0;
  for (const auto& entry : manifest()["pipeline"]) {
    const std::string name = "pipeline-" + std::to_string(number++);
    const FusedTransform transform{entry["crop"], {}};
    const ImageSize resized{entry["resize"], entry["resize"]};
    const Augmentation drawn{entry["left"], entry["top"], entry["flip_horizontally"], entry["degrees"],
                             entry["flip_vertically"]};
    const auto pixels = static_cast<size_t>(transform.crop * transform.crop);
    std::vector<float> first(3 * pixels);
    transform.apply(picture(name, entry), resized, drawn, /*channels_last=*/false, first.data());
    const std::vector<uint8_t> theirs = parity::read_bytes(result(name + ".out"));
    ASSERT_EQ(theirs.size(), 4 * first.size());
    EXPECT_EQ(differing_bits(first, theirs), 0u) << entry;

    std::vector<float> last(3 * pixels);
    transform.apply(picture(name, entry), resized, drawn, /*channels_last=*/true, last.data());
    std::vector<float> reordered(3 * pixels);
    for (size_t i = 0; i < last.size(); ++i) reordered[(i % 3) * pixels + i / 3] = last[i];
    EXPECT_EQ(differing_bits(reordered, theirs), 0u) << "channels last " << entry;
  }
  EXPECT_EQ(number, 40);
}

}  // namespace
}  // namespace ferrun::data
