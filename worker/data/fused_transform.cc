#include "worker/data/fused_transform.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <optional>
#include <vector>

#include "worker/data/resize.h"
#include "worker/data/rotation.h"

namespace ferrun::data {
namespace {

// A thread keeps its resizing tables up to this size; those of a rare huge picture do not stay.
constexpr size_t kKeptPlanBytes = size_t{1} << 20;

// ToTensor and Normalize of every byte value: (v / 255 − mean) / std in float32, each step rounded as torch's kernels
// do.
struct NormalizeTable {
  using Value = float;
  ChannelStatistics filled{{}, {}};  // a deviation of zero: not filled yet
  float value[3][256];

  void prepare(const ChannelStatistics& wanted) {
    if (filled.mean == wanted.mean && filled.stddev == wanted.stddev) return;
    filled = wanted;
    for (size_t c = 0; c < 3; ++c) {
      for (int v = 0; v < 256; ++v) value[c][v] = (static_cast<float>(v) / 255.0f - filled.mean[c]) / filled.stddev[c];
    }
  }
  float at(int channel, uint8_t byte) const { return value[channel][byte]; }
};

// Neither of the two.
struct ByteTable {
  using Value = uint8_t;
  uint8_t at(int, uint8_t byte) const { return byte; }
};

// What a thread keeps from picture to picture.
struct Scratch {
  std::optional<ResizePlan> plan;
  NormalizeTable table;
  std::vector<uint8_t> cropped;
};

// Where the values of one output row go.
template <typename Value>
struct RowSink {
  Value* channel[3];
  int step;  // values from one pixel to the next
};

template <typename Value>
RowSink<Value> row_sink(Value* out, int y, int size, bool channels_last) {
  const ptrdiff_t plane = static_cast<ptrdiff_t>(size) * size;
  const ptrdiff_t row = static_cast<ptrdiff_t>(y) * size;
  if (channels_last) return {{out + 3 * row, out + 3 * row + 1, out + 3 * row + 2}, 3};
  return {{out + row, out + plane + row, out + 2 * plane + row}, 1};
}

template <int kStep, typename Table>
inline void put(const Table& table, const uint8_t* pixel, const RowSink<typename Table::Value>& sink, int x) {
  for (int c = 0; c < 3; ++c) sink.channel[c][x * kStep] = table.at(c, pixel[c]);
}

template <int kStep, typename Table>
void put_straight(const Table& table, const uint8_t* row, int size, const RowSink<typename Table::Value>& sink) {
  for (int x = 0; x < size; ++x) put<kStep>(table, row + 3 * x, sink, x);
}

template <int kStep, typename Table>
void put_rotated(const Table& table, const uint8_t* pixels, int size, const Rotation::Row& row,
                 const RowSink<typename Table::Value>& sink) {
  constexpr uint8_t kBlack[3] = {0, 0, 0};
  for (int x = 0; x < row.begin; ++x) put<kStep>(table, kBlack, sink, x);
  int32_t from_x = row.x0 + row.begin * row.dx;
  int32_t from_y = row.y0 + row.begin * row.dy;
  for (int x = row.begin; x < row.end; ++x, from_x += row.dx, from_y += row.dy) {
    put<kStep>(table, pixels + 3 * ((from_y >> 16) * size + (from_x >> 16)), sink, x);
  }
  for (int x = row.end; x < size; ++x) put<kStep>(table, kBlack, sink, x);
}

// The mirrored picture's pixel x is the picture's size − 1 − x; in fixed point that is one subtraction for a whole row.
Rotation::Row mirrored(Rotation::Row row, int size) {
  row.x0 = (size << 16) - 1 - row.x0;
  row.dx = -row.dx;
  return row;
}

Scratch& scratch_of_thread() {
  thread_local Scratch scratch;
  return scratch;
}

template <typename Table>
void run(int crop, const Image& image, ImageSize resized, const Augmentation& augmentation, const Table& table,
         bool channels_last, typename Table::Value* out) {
  assert(resized.width >= augmentation.left + crop && resized.height >= augmentation.top + crop && crop >= 1);
  Scratch& scratch = scratch_of_thread();
  if (!scratch.plan || !scratch.plan->fits(image.width, image.height, resized.width, resized.height)) {
    scratch.plan.emplace(image.width, image.height, resized.width, resized.height);
  }
  const size_t bytes = static_cast<size_t>(crop) * static_cast<size_t>(crop) * 3 + kPixelSlack;
  if (scratch.cropped.size() < bytes) scratch.cropped.resize(bytes);
  uint8_t* const cropped = scratch.cropped.data();
  scratch.plan->run(image, {augmentation.left, augmentation.top, crop, crop}, cropped);
  if (scratch.plan->bytes() > kKeptPlanBytes) scratch.plan.reset();

  // The flips and the rotation only say where a pixel comes from, so one pass over the output does them all.
  const bool still = augmentation.degrees == 0.0 && !augmentation.flip_horizontally;
  const Rotation rotation(augmentation.degrees, crop, crop);
  for (int y = 0; y < crop; ++y) {
    const auto sink = row_sink(out, y, crop, channels_last);
    const int from_y = augmentation.flip_vertically ? crop - 1 - y : y;
    if (still) {
      const uint8_t* row = cropped + 3 * static_cast<ptrdiff_t>(from_y) * crop;
      channels_last ? put_straight<3>(table, row, crop, sink) : put_straight<1>(table, row, crop, sink);
      continue;
    }
    Rotation::Row row = rotation.row(from_y);
    if (augmentation.flip_horizontally) row = mirrored(row, crop);
    channels_last ? put_rotated<3>(table, cropped, crop, row, sink) : put_rotated<1>(table, cropped, crop, row, sink);
  }
}

}  // namespace

void FusedTransform::apply(const Image& image, ImageSize resized, const Augmentation& augmentation, bool channels_last,
                           float* out) const {
  NormalizeTable& table = scratch_of_thread().table;
  table.prepare(statistics);
  run(crop, image, resized, augmentation, table, channels_last, out);
}

void FusedTransform::apply_bytes(const Image& image, ImageSize resized, const Augmentation& augmentation,
                                 uint8_t* out) const {
  run(crop, image, resized, augmentation, ByteTable{}, /*channels_last=*/true, out);
}

void normalize(const Image& image, const ChannelStatistics& statistics, bool channels_last, float* out) {
  assert(image.width == image.height);
  thread_local NormalizeTable table;
  table.prepare(statistics);
  for (int y = 0; y < image.height; ++y) {
    const auto sink = row_sink(out, y, image.width, channels_last);
    const uint8_t* const row = image.pixels.data() + 3 * static_cast<ptrdiff_t>(y) * image.width;
    channels_last ? put_straight<3>(table, row, image.width, sink) : put_straight<1>(table, row, image.width, sink);
  }
}

}  // namespace ferrun::data
