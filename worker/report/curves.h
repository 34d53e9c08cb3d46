// accuracy_and_loss.png: two charts side by side, each with a curve for training and one for validation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/report/drawing.h"
#include "worker/report/epoch_metrics.h"

namespace ferrun::report {

constexpr Ink kTrainInk{31 / 255.0, 119 / 255.0, 180 / 255.0};
constexpr Ink kValInk{214 / 255.0, 94 / 255.0, 0};

// The bytes of a PNG of 1800 × 690 pixels. Epochs in rising order; none gives empty charts. Values that are not finite
// leave gaps. `best`: the number of the epoch to mark, if any. Failure: see Drawing.
Result<std::vector<uint8_t>> curves_png(const std::vector<EpochMetrics>& epochs, std::optional<int64_t> best);

// Atomically. Failure: one line with the path, or Drawing's.
Status write_curves(const std::string& path, const std::vector<EpochMetrics>& epochs, std::optional<int64_t> best);

}  // namespace ferrun::report
