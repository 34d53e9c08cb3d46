// Every transform does to a picture what torchvision does to a Pillow image for the same draws: equal bytes, and floats
// equal in every bit.
#include "worker/data/transforms.h"

#include <map>

#include "tests/parity/data_peer.h"

namespace ferrun::data {
namespace {

using StepParity = parity::PeerTest;

// The step and its draw that a manifest's entry states.
std::pair<Step, Draw> stated(const nlohmann::json& entry) {
  Draw drawn;
  drawn.size = {entry["out_width"], entry["out_height"]};
  drawn.flip = true;
  const std::string kind = entry["kind"];
  const auto size = entry.contains("size") ? entry["size"].get<std::vector<int>>() : std::vector<int>{1, 1};
  if (kind == "Resize") {
    const Resize step = size.size() == 1 ? Resize{size[0], {}} : Resize{size[0], size[1]};
    SplitMix64 random(0);
    return {step, draw(step, {entry["width"], entry["height"]}, random).value()};
  }
  if (kind == "CenterCrop") {
    SplitMix64 random(0);
    const CenterCrop step{size[0], size[1]};
    return {step, draw(step, {entry["width"], entry["height"]}, random).value()};
  }
  if (kind == "RandomCrop") {
    drawn.window = {entry["left"], entry["top"], size[1], size[0]};
    return {RandomCrop{size[0], size[1]}, drawn};
  }
  if (kind == "RandomHorizontalFlip") return {RandomHorizontalFlip{}, drawn};
  if (kind == "RandomVerticalFlip") return {RandomVerticalFlip{}, drawn};
  drawn.affine.degrees = entry["degrees"];
  if (kind == "RandomRotation") return {RandomRotation{}, drawn};
  drawn.affine = {entry["degrees"], entry["shift_x"], entry["shift_y"],
                  entry["scale"],   entry["shear_x"], entry["shear_y"]};
  return {RandomAffine{}, drawn};
}

std::vector<float> floats_of(const nlohmann::json& entry, const Image& image) {
  Normalize normal{{0, 0, 0}, {1, 1, 1}};
  if (entry["kind"] == "Normalize") normal = {entry["mean"], entry["std"]};
  const int side = image.width;
  const Transform transform = Transform::compose({CenterCrop{side, side}, ToTensor{}, normal}).value();
  std::vector<float> out(image.pixels.size());
  EXPECT_TRUE(transform.apply(image, 0, /*channels_last=*/false, out.data()));
  return out;
}

TEST_F(StepParity, EveryTransformEqualsTorchvisions) {
  run_peer("transforms_peer.py");
  if (IsSkipped() || HasFatalFailure()) return;
  std::map<std::string, int> seen;
  int number = 0;
  for (const auto& entry : manifest()) {
    const std::string name = std::to_string(number++);
    Image image{entry["width"], entry["height"], parity::read_bytes(result(name))};
    const std::vector<uint8_t> theirs = parity::read_bytes(result(name + ".out"));
    ++seen[entry["kind"]];
    if (!entry.contains("out_width")) {
      const std::vector<float> ours = floats_of(entry, image);
      ASSERT_EQ(theirs.size(), 4 * ours.size());
      EXPECT_EQ(std::memcmp(ours.data(), theirs.data(), theirs.size()), 0) << entry;
      continue;
    }
    const auto [step, drawn] = stated(entry);
    EXPECT_EQ(drawn.size, (ImageSize{entry["out_width"], entry["out_height"]})) << entry;
    apply(step, drawn, image);
    EXPECT_EQ(image.size(), (ImageSize{entry["out_width"], entry["out_height"]})) << entry;
    EXPECT_TRUE(image.pixels == theirs) << entry;
  }
  EXPECT_EQ(seen.size(), 9u);
  EXPECT_GT(number, 500);
}

}  // namespace
}  // namespace ferrun::data
