// Which samples a pass over a dataset takes, and in which order: torch.utils.data's samplers, index for index, and one
// for runs whose world changes. A state is small and goes into a checkpoint; a DataLoader asks for it and hands it
// back.
//
// Mistakes in a sampler's arguments throw c10::Error. Thread rule: one thread.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/ddp/epoch_plan.h"

namespace ferrun::ddp {

class Sampler {
 public:
  virtual ~Sampler() = default;

  // Begins a pass and gives this rank's indices in their order; after load_state_dict() those that are left of it.
  virtual std::vector<int64_t> begin_pass() = 0;
  // The most indices that any rank has in the next pass: the same number on all ranks, who take as many steps.
  virtual int64_t longest_share() const = 0;
  // For orders that are functions of the epoch. An epoch that load_state_dict() has named already stays where it was.
  virtual void set_epoch(int64_t /*epoch*/) {}
  // What goes on behind the first `taken` of the indices that begin_pass() gave.
  virtual checkpoint::Value state_dict(int64_t taken) const = 0;
  // What begins the next pass, in that epoch.
  virtual checkpoint::Value next_state_dict(int64_t epoch) const = 0;
  // All or nothing. One from the middle of a pass fits a dataset of the same size. Collective where ranks differ: all
  // load the same state.
  virtual Status load_state_dict(const checkpoint::Value& state) = 0;
};

// 0, 1, 2, …
class SequentialSampler final : public Sampler {
 public:
  explicit SequentialSampler(int64_t size);

  std::vector<int64_t> begin_pass() override;
  int64_t longest_share() const override { return size_ - next_; }
  checkpoint::Value state_dict(int64_t taken) const override;
  checkpoint::Value next_state_dict(int64_t epoch) const override;
  Status load_state_dict(const checkpoint::Value& state) override;

 private:
  int64_t size_;
  int64_t begun_ = 0;  // of the pass under way: its first index
  int64_t next_ = 0;   // of the next one
};

// What draws its order from torch's generator: each pass goes on where the one before left it, as in Python with
// `generator=torch.Generator().manual_seed(seed)`. Its state holds Generator.get_state() of before the pass.
class GeneratorSampler : public Sampler {
 public:
  std::vector<int64_t> begin_pass() final;
  int64_t longest_share() const final { return size_ - next_; }
  checkpoint::Value state_dict(int64_t taken) const final;
  checkpoint::Value next_state_dict(int64_t epoch) const final;
  Status load_state_dict(const checkpoint::Value& state) final;

 protected:
  // Draws `size` of `population` indices.
  GeneratorSampler(int64_t population, int64_t size, uint64_t seed);
  virtual std::vector<int64_t> draw(const at::Generator& generator) const = 0;

  int64_t population_;
  int64_t size_;  // indices of a pass

 private:
  at::Generator generator_;
  at::Tensor before_;  // the generator's state before the pass under way
  int64_t begun_ = 0;
  int64_t next_ = 0;
};

struct RandomSamplerOptions {
  bool replacement = false;
  std::optional<int64_t> num_samples = std::nullopt;  // of a pass; the dataset's size
  uint64_t seed = 0;
};

class RandomSampler final : public GeneratorSampler {
 public:
  explicit RandomSampler(int64_t dataset_size, const RandomSamplerOptions& options = {});

 private:
  std::vector<int64_t> draw(const at::Generator& generator) const override;

  bool replacement_;
};

class SubsetRandomSampler final : public GeneratorSampler {
 public:
  explicit SubsetRandomSampler(std::vector<int64_t> indices, uint64_t seed = 0);

 private:
  std::vector<int64_t> draw(const at::Generator& generator) const override;

  std::vector<int64_t> indices_;
};

// Index i with a probability that is weights[i]'s part of their sum: torch.multinomial.
class WeightedRandomSampler final : public GeneratorSampler {
 public:
  WeightedRandomSampler(const std::vector<double>& weights, int64_t num_samples, bool replacement = true,
                        uint64_t seed = 0);

 private:
  std::vector<int64_t> draw(const at::Generator& generator) const override;

  at::Tensor weights_;
  bool replacement_;
};

// What the two below have in common: an order that is a function of seed and epoch, of which each rank takes every
// world_size-th index. Their state is the epoch and the number of samples of it that all ranks together have done, as
// SamplerState has them, and of how many samples and ranks; a SamplerState's content, which lacks these, is taken too.
class EpochSampler : public Sampler {
 public:
  void set_epoch(int64_t epoch) final;
  int64_t epoch() const { return epoch_; }
  checkpoint::Value state_dict(int64_t taken) const final;
  checkpoint::Value next_state_dict(int64_t epoch) const final;
  Status load_state_dict(const checkpoint::Value& state) final;

 protected:
  EpochSampler(int64_t dataset_size, const Shard& shard);
  // Whether the rest of an epoch is the same for another number of ranks.
  virtual bool fits_any_world() const = 0;

  int64_t size_;
  Shard shard_;
  int64_t epoch_ = 0;
  int64_t begun_ = 0;  // samples of all ranks that were done when the pass under way began
  int64_t next_ = 0;   // … when the next one begins
};

struct DistributedSamplerOptions {
  bool shuffle = true;
  uint64_t seed = 0;
  bool drop_last = false;
};

// torch.utils.data.DistributedSampler: every rank has as many indices; where they do not divide, some come twice, or
// with drop_last some are left out. `shard_of(*group)` is a group's shard. A state goes on with the same number of
// ranks only.
class DistributedSampler final : public EpochSampler {
 public:
  DistributedSampler(int64_t dataset_size, const Shard& shard, const DistributedSamplerOptions& options = {});

  std::vector<int64_t> begin_pass() override;
  int64_t longest_share() const override;

 private:
  bool fits_any_world() const override { return false; }

  DistributedSamplerOptions options_;
};

struct ElasticSamplerOptions {
  bool shuffle = true;
  uint64_t seed = 0;
};

// DistributedSampler's order, each sample once: shares may differ by one index, and a state goes on with any number of
// ranks. A DataLoader gives every rank as many batches, of which the last may be shorter than another rank's, or empty.
class ElasticSampler final : public EpochSampler {
 public:
  ElasticSampler(int64_t dataset_size, const Shard& shard, const ElasticSamplerOptions& options = {});

  std::vector<int64_t> begin_pass() override;
  int64_t longest_share() const override;

 private:
  bool fits_any_world() const override { return true; }

  ElasticSamplerOptions options_;
};

}  // namespace ferrun::ddp
