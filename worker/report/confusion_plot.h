// confusion_matrix.png: counts and the shares of each true class.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/report/class_metrics.h"

namespace ferrun::report {

// The bytes of a PNG. Rows are true classes, columns predicted ones; a cell's colour is its share of the row, its text
// the count and the share. Names of any script and length stand in full up to a third of a page; beyond some 60
// classes the cells have no text. Failure: see Drawing.
Result<std::vector<uint8_t>> confusion_png(const ConfusionMatrix& confusion);

// Atomically. Failure: one line with the path, or Drawing's.
Status write_confusion(const std::string& path, const ConfusionMatrix& confusion);

}  // namespace ferrun::report
