#include "worker/ddp/class_weights.h"

#include <cassert>
#include <numeric>

namespace ferrun::ddp {

Result<std::vector<double>> balanced_class_weights(const std::vector<int64_t>& counts,
                                                   const std::vector<std::string>& names) {
  assert(counts.size() == names.size());
  const int64_t samples = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  std::vector<double> weights;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] < 1) {
      return Error{ErrorKind::kUser, "class " + names[i] + " has no pictures, so its weight cannot be balanced"};
    }
    weights.push_back(static_cast<double>(samples) /
                      (static_cast<double>(counts.size()) * static_cast<double>(counts[i])));
  }
  return weights;
}

}  // namespace ferrun::ddp
