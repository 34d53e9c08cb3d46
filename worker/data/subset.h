// A part of a dataset, and torch.utils.data.random_split. Free of LibTorch. Immutable, so all threads may use it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/data/dataset.h"
#include "worker/data/split.h"

namespace ferrun::data {

class Subset final : public Dataset {
 public:
  // `indices` are the whole's, in the part's order.
  Subset(std::shared_ptr<const Dataset> whole, std::vector<int64_t> indices)
      : whole_(std::move(whole)), indices_(std::move(indices)) {}

  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  const std::vector<std::string>& classes() const override { return whole_->classes(); }
  int label(int64_t index) const override { return whole_->label(at(index)); }
  std::string name(int64_t index) const override { return whole_->name(at(index)); }
  std::string identity(int64_t index) const override { return whole_->identity(at(index)); }
  Status load_into(int64_t index, Image& image, MemoryLease& memory) const override {
    return whole_->load_into(at(index), image, memory);
  }

  const std::vector<int64_t>& indices() const { return indices_; }

 private:
  int64_t at(int64_t index) const { return indices_[static_cast<size_t>(index)]; }

  std::shared_ptr<const Dataset> whole_;
  std::vector<int64_t> indices_;
};

// torch.utils.data.random_split(whole, fractions, generator=torch.Generator().manual_seed(seed)), index for index.
std::vector<std::shared_ptr<const Subset>> random_split(const std::shared_ptr<const Dataset>& whole,
                                                        const std::vector<double>& fractions, uint64_t seed);

}  // namespace ferrun::data
