#include "worker/ddp/sampler.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/multinomial.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randperm.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "worker/ddp/distributed_order.h"
#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::Value;

Error unfit_sampler_state(const std::string& what) {
  return Error{ErrorKind::kUser, "the sampler's state does not fit: " + what};
}

// A number of samples that are done, at most `size`.
Result<int64_t> samples_done(const Value& state, int64_t size) {
  const auto samples = integer(state, "samples");
  if (!samples || *samples < 0) return unfit_sampler_state("it has no number of samples");
  if (*samples > size) {
    return unfit_sampler_state("of " + std::to_string(size) + " samples " + std::to_string(*samples) + " are done");
  }
  return *samples;
}

// A state from the middle of a pass is one of this dataset's order alone; one without a size is taken at its word.
Status check_dataset_size(const Value& state, int64_t samples, int64_t size) {
  const auto saved = integer(state, "dataset_size");
  if (samples == 0 || !saved || *saved == size) return ok_status();
  return unfit_sampler_state("its pass is over a dataset of " + std::to_string(*saved) + " samples, this one has " +
                             std::to_string(size));
}

void append_indices(const at::Tensor& drawn, std::vector<int64_t>& indices) {
  const int64_t* const begin = drawn.const_data_ptr<int64_t>();
  indices.insert(indices.end(), begin, begin + drawn.numel());
}

std::vector<int64_t> without_first(std::vector<int64_t> indices, int64_t count) {
  indices.erase(indices.begin(), indices.begin() + std::min(count, std::ssize(indices)));
  return indices;
}

}  // namespace

SequentialSampler::SequentialSampler(int64_t size) : size_(size) {
  TORCH_CHECK(size >= 0, "a dataset cannot have ", size, " samples");
}

std::vector<int64_t> SequentialSampler::begin_pass() {
  begun_ = std::exchange(next_, 0);
  std::vector<int64_t> indices(static_cast<size_t>(size_ - begun_));
  std::iota(indices.begin(), indices.end(), begun_);
  return indices;
}

Value SequentialSampler::state_dict(int64_t taken) const { return Dict{{"samples", begun_ + taken}}; }
Value SequentialSampler::next_state_dict(int64_t /*epoch*/) const { return Dict{{"samples", next_}}; }

Status SequentialSampler::load_state_dict(const Value& state) {
  const Result<int64_t> samples = samples_done(state, size_);
  if (!samples) return samples.error();
  next_ = *samples;
  return ok_status();
}

GeneratorSampler::GeneratorSampler(int64_t population, int64_t size, uint64_t seed)
    : population_(population),
      size_(size),
      generator_(at::detail::createCPUGenerator(seed)),
      before_(generator_.get_state()) {}

std::vector<int64_t> GeneratorSampler::begin_pass() {
  const c10::NoGradGuard no_grad;
  before_ = generator_.get_state();
  begun_ = std::exchange(next_, 0);
  return without_first(draw(generator_), begun_);
}

Value GeneratorSampler::state_dict(int64_t taken) const {
  return Dict{{"generator", before_}, {"samples", begun_ + taken}, {"dataset_size", population_}};
}

Value GeneratorSampler::next_state_dict(int64_t /*epoch*/) const {
  return Dict{{"generator", generator_.get_state()}, {"samples", next_}, {"dataset_size", population_}};
}

Status GeneratorSampler::load_state_dict(const Value& state) {
  const Result<int64_t> samples = samples_done(state, size_);
  if (!samples) return samples.error();
  if (Status fits = check_dataset_size(state, *samples, population_); !fits) return fits;
  const Value* const found = state.find("generator");
  const at::Tensor* const generator = found == nullptr ? nullptr : found->get<at::Tensor>();
  if (generator == nullptr || generator->scalar_type() != at::kByte || generator->sizes() != before_.sizes()) {
    return unfit_sampler_state("it has no generator");
  }
  generator_.set_state(generator->contiguous());
  next_ = *samples;
  return ok_status();
}

RandomSampler::RandomSampler(int64_t dataset_size, const RandomSamplerOptions& options)
    : GeneratorSampler(dataset_size, options.num_samples.value_or(dataset_size), options.seed),
      replacement_(options.replacement) {
  TORCH_CHECK(dataset_size > 0 && size_ > 0, "a RandomSampler needs samples, and a number of them to draw");
}

// As many draws as Python's, also those of which nothing is used: the generator has to go on as Python's does.
std::vector<int64_t> RandomSampler::draw(const at::Generator& generator) const {
  constexpr int64_t kAtOnce = 32;
  std::vector<int64_t> indices;
  indices.reserve(static_cast<size_t>(size_ + population_));
  if (replacement_) {
    const auto some = [&](int64_t count) {
      append_indices(at::randint(population_, {count}, generator, at::kLong), indices);
    };
    for (int64_t i = 0; i < size_ / kAtOnce; ++i) some(kAtOnce);
    some(size_ % kAtOnce);
  } else {
    for (int64_t i = 0; i <= size_ / population_; ++i) {
      append_indices(at::randperm(population_, generator, at::kLong), indices);
    }
    indices.resize(static_cast<size_t>(size_));
  }
  return indices;
}

SubsetRandomSampler::SubsetRandomSampler(std::vector<int64_t> indices, uint64_t seed)
    : GeneratorSampler(std::ssize(indices), std::ssize(indices), seed), indices_(std::move(indices)) {}

std::vector<int64_t> SubsetRandomSampler::draw(const at::Generator& generator) const {
  std::vector<int64_t> order;
  append_indices(at::randperm(std::ssize(indices_), generator, at::kLong), order);
  for (int64_t& place : order) place = indices_[static_cast<size_t>(place)];
  return order;
}

WeightedRandomSampler::WeightedRandomSampler(const std::vector<double>& weights, int64_t num_samples, bool replacement,
                                             uint64_t seed)
    : GeneratorSampler(std::ssize(weights), num_samples, seed),
      weights_(at::tensor(weights, at::kDouble)),
      replacement_(replacement) {
  TORCH_CHECK(num_samples > 0, "a WeightedRandomSampler needs a number of samples to draw");
}

std::vector<int64_t> WeightedRandomSampler::draw(const at::Generator& generator) const {
  std::vector<int64_t> indices;
  append_indices(at::multinomial(weights_, size_, replacement_, generator), indices);
  return indices;
}

EpochSampler::EpochSampler(int64_t dataset_size, const Shard& shard) : size_(dataset_size), shard_(shard) {
  TORCH_CHECK(dataset_size >= 0, "a dataset cannot have ", dataset_size, " samples");
  TORCH_CHECK(shard.world_size > 0 && shard.rank >= 0 && shard.rank < shard.world_size, "there is no rank ", shard.rank,
              " of ", shard.world_size);
}

void EpochSampler::set_epoch(int64_t epoch) {
  if (epoch != epoch_) next_ = 0;
  epoch_ = epoch;
}

Value EpochSampler::state_dict(int64_t taken) const {
  return Dict{{"epoch", epoch_},
              {"samples", begun_ + taken * shard_.world_size},
              {"dataset_size", size_},
              {"world_size", shard_.world_size}};
}

Value EpochSampler::next_state_dict(int64_t epoch) const {
  return Dict{{"epoch", epoch},
              {"samples", epoch == epoch_ ? next_ : 0},
              {"dataset_size", size_},
              {"world_size", shard_.world_size}};
}

Status EpochSampler::load_state_dict(const Value& state) {
  const auto epoch = integer(state, "epoch"), samples = integer(state, "samples");
  if (!epoch || !samples || *epoch < 0 || *samples < 0) {
    return unfit_sampler_state("it has no epoch and no number of samples");
  }
  if (Status fits = check_dataset_size(state, *samples, size_); !fits) return fits;
  const auto world_size = integer(state, "world_size");
  const int64_t ranks = shard_.world_size;
  if (!fits_any_world() && (*samples % ranks != 0 || (*samples > 0 && world_size.value_or(ranks) != ranks))) {
    return unfit_sampler_state(
        "its epoch was begun by " + (world_size ? std::to_string(*world_size) : std::string("another number of")) +
        " ranks, these are " + std::to_string(ranks) + "; an ElasticSampler goes on with any number");
  }
  epoch_ = *epoch;
  next_ = *samples;
  return ok_status();
}

DistributedSampler::DistributedSampler(int64_t dataset_size, const Shard& shard,
                                       const DistributedSamplerOptions& options)
    : EpochSampler(dataset_size, shard), options_(options) {}

std::vector<int64_t> DistributedSampler::begin_pass() {
  begun_ = std::exchange(next_, 0);
  const DistributedOrder order{size_,         shard_.world_size, shard_.rank, options_.shuffle,
                               options_.seed, options_.drop_last};
  return without_first(order.indices(epoch_), begun_ / shard_.world_size);
}

int64_t DistributedSampler::longest_share() const {
  const DistributedOrder order{.dataset_size = size_, .world_size = shard_.world_size, .drop_last = options_.drop_last};
  return std::max<int64_t>(0, order.samples_per_rank() - next_ / shard_.world_size);
}

ElasticSampler::ElasticSampler(int64_t dataset_size, const Shard& shard, const ElasticSamplerOptions& options)
    : EpochSampler(dataset_size, shard), options_(options) {}

std::vector<int64_t> ElasticSampler::begin_pass() {
  begun_ = std::exchange(next_, 0);
  const DistributedOrder order{.dataset_size = size_, .shuffle = options_.shuffle, .seed = options_.seed};
  // One batch of all that is left: batches of equal shares are stretches of it.
  return EpochPlan::make(order.indices(epoch_), begun_, std::max<int64_t>(size_, 1), shard_).indices;
}

int64_t ElasticSampler::longest_share() const {
  return share_of(std::max<int64_t>(0, size_ - next_), {shard_.world_size, 0});
}

}  // namespace ferrun::ddp
