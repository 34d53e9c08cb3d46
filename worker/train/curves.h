// accuracy_and_loss.png: two charts side by side, each with a curve for training and one for validation.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "worker/train/canvas.h"
#include "worker/train/metrics.h"

namespace ferrun::train {

constexpr Colour kTrainColour{31, 119, 180};
constexpr Colour kValColour{214, 94, 0};

// `epochs` must not be empty.
Canvas draw_curves(const std::vector<EpochMetrics>& epochs);

// Atomically.
Status write_curves(const std::string& path, const std::vector<EpochMetrics>& epochs);

}  // namespace ferrun::train
