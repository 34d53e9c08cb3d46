#include "worker/data/subset.h"

#include "worker/data/randperm.h"

namespace ferrun::data {

std::vector<std::shared_ptr<const Subset>> random_split(const std::shared_ptr<const Dataset>& whole,
                                                        const std::vector<double>& fractions, uint64_t seed) {
  const std::vector<int64_t> order = randperm(whole->size(), seed);
  std::vector<std::shared_ptr<const Subset>> parts;
  auto from = order.begin();
  for (const int64_t size : split_sizes(whole->size(), fractions)) {
    parts.push_back(std::make_shared<Subset>(whole, std::vector<int64_t>(from, from + size)));
    from += size;
  }
  return parts;
}

}  // namespace ferrun::data
