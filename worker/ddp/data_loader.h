// torch.utils.data.DataLoader: batches of a dataset, made by threads ahead of the loop that takes them.
//
//   ddp::DataLoader loader(dataset, std::make_shared<ddp::DistributedSampler>(size, ddp::shard_of(*group)),
//                          {.batch_size = 32, .num_workers = 4});
//   for (; loader.epoch() < 10;) {
//     for (auto& [inputs, targets] : loader) { … }
//   }
//
// What a batch holds depends on dataset, sampler, options and epoch alone, never on the number of threads or on chance.
// Each pass is the next epoch's: there is no set_epoch to forget. A loop may end early; the next one begins a pass of
// its own, or the rest of one after load_state_dict(). Thread rule: one thread uses a DataLoader; its own threads start
// with the first pass, and stop with the DataLoader, each after the samples in its hands.
#pragma once

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/data/ordered_work.h"
#include "worker/ddp/batch_memory.h"
#include "worker/ddp/collate.h"
#include "worker/ddp/dataset.h"
#include "worker/ddp/one_thread.h"
#include "worker/ddp/sampler.h"
#include "worker/ddp/tensor_tree.h"

namespace ferrun::ddp {

struct DataLoaderOptions {
  int64_t batch_size = 1;   // of this rank
  bool shuffle = false;     // where no sampler is given: RandomSampler instead of SequentialSampler
  int num_workers = 0;      // threads; 0: samples are fetched where the loop is
  int prefetch = 2;         // batches that are kept ready at most, besides the one in work
  bool drop_last = false;   // a last batch that is not full
  bool pin_memory = false;  // batches in page-locked memory, from which a GPU copies; without CUDA nothing
  uint64_t seed = 0;        // of SampleRandom, and of the order where `shuffle` asks for one
};

// What a dataset's get threw, as the loop gets it; the exception itself is nested in it. The loop may go on with the
// next batch.
class SampleError : public std::runtime_error {
 public:
  SampleError(int64_t index, const std::string& what)
      : std::runtime_error("sample " + std::to_string(index) + ": " + what), index_(index) {}
  int64_t index() const { return index_; }

 private:
  int64_t index_;
};

namespace loading {

// Whether visit_tensors takes the type.
template <typename T>
constexpr bool is_tensor_tree() {
  if constexpr (std::is_base_of_v<at::Tensor, T> || std::is_arithmetic_v<T> || std::is_enum_v<T>) {
    return true;
  } else if constexpr (requires(T & value, void (*visit)(at::Tensor&)) { value.visit_tensors(visit); }) {
    return true;
  } else if constexpr (kIsOptional<T>) {
    return is_tensor_tree<typename T::value_type>();
  } else if constexpr (requires { std::tuple_size<T>::value; }) {
    return []<size_t... I>(std::index_sequence<I...>) {
      return (is_tensor_tree<std::decay_t<std::tuple_element_t<I, T>>>() && ...);
    }
    (std::make_index_sequence<std::tuple_size_v<T>>());
  } else if constexpr (std::ranges::range<T>) {
    return is_tensor_tree<std::decay_t<std::ranges::range_value_t<T>>>();
  } else {
    return false;
  }
}

template <typename Batch, typename Change>
void change_tensors(Batch& batch, Change&& change) {
  if constexpr (is_tensor_tree<Batch>()) {
    visit_tensors(batch, [&](at::Tensor& tensor) {
      if (tensor.defined()) tensor = change(tensor);
    });
  }
}

// A batch in the making, of samples that come from several threads; a collation may have one of its own, which takes
// their parts before the last is there.
template <typename Collate, typename Sample>
class Assembly {
 public:
  Assembly(const Collate& collate, size_t samples, const std::shared_ptr<BatchMemory>& /*memory*/)
      : collate_(collate), samples_(samples) {}
  void add(size_t place, Sample sample) { samples_[place].emplace(std::move(sample)); }
  auto finish() {
    std::vector<Sample> samples;
    samples.reserve(samples_.size());
    for (std::optional<Sample>& sample : samples_) samples.push_back(std::move(*sample));
    return collate_(std::move(samples));
  }

 private:
  const Collate& collate_;
  std::vector<std::optional<Sample>> samples_;
};
template <typename Sample>
class Assembly<DefaultCollate, Sample> : public DefaultCollate::Assembly<Sample> {
 public:
  Assembly(const DefaultCollate& /*collate*/, size_t samples, const std::shared_ptr<BatchMemory>& memory)
      : DefaultCollate::Assembly<Sample>(samples, memory) {}
};

// Throws the caught exception anew, with the sample's name around it.
[[noreturn]] inline void throw_named(int64_t index, const std::exception_ptr& caught, const std::string& where = "") {
  try {
    std::rethrow_exception(caught);
  } catch (const c10::Error& error) {
    std::throw_with_nested(SampleError(index, where + error.what_without_backtrace()));
  } catch (const std::exception& error) {
    std::throw_with_nested(SampleError(index, where + error.what()));
  } catch (...) {
    std::throw_with_nested(SampleError(index, where + "an exception that is no std::exception"));
  }
}

}  // namespace loading

template <typename Dataset, typename Collate = DefaultCollate>
class DataLoader {
 public:
  using Sample = SampleOf<Dataset>;
  using Batch = std::invoke_result_t<const Collate&, std::vector<Sample>>;

  // `sampler` may be kept by the caller as well. `collate` makes a batch of samples; threads call it at once.
  DataLoader(Dataset dataset, std::shared_ptr<Sampler> sampler, const DataLoaderOptions& options = {},
             Collate collate = {})
      : source_(std::make_shared<const Source>(Source{std::move(dataset), options, std::move(collate)})),
        sampler_(std::move(sampler)),
        work_({.threads = options.num_workers,
               .ahead = options.prefetch,
               .grain = std::max<int64_t>(1, options.batch_size / (4 * std::max(1, options.num_workers))),
               .begin_thread = &compute_on_one_thread}) {
    TORCH_CHECK(options.batch_size > 0, "a batch cannot have ", options.batch_size, " samples");
  }
  explicit DataLoader(Dataset dataset, const DataLoaderOptions& options = {}, Collate collate = {})
      : DataLoader(std::move(dataset), nullptr, options, std::move(collate)) {
    const int64_t size = size_of(source_->dataset);
    if (options.shuffle) {
      sampler_ = std::make_shared<RandomSampler>(size, RandomSamplerOptions{.seed = options.seed});
    } else {
      sampler_ = std::make_shared<SequentialSampler>(size);
    }
  }

  // Batches of the pass under way, or of the next where none is: as many on every rank.
  int64_t size() const { return pass_ ? pass_->items() : batches_of(sampler_->longest_share()); }
  // The epoch of the pass under way, or of the next where none is.
  int64_t epoch() const { return epoch_; }
  // The next pass is this epoch's. Python's loops call it; here it is for an epoch out of turn.
  void set_epoch(int64_t epoch) {
    epoch_ = epoch;
    pass_.reset();
  }

  // Begins a pass; what is left of the one before is dropped. Its epoch is the one after, unless set_epoch() or
  // load_state_dict() has named one.
  void start() {
    if (pass_) set_epoch(epoch_ + 1);
    sampler_->set_epoch(epoch_);
    const int64_t batches = batches_of(sampler_->longest_share());
    pass_ = std::make_shared<const Pass>(source_, sampler_->begin_pass(), batches, epoch_);
    work_.start(pass_);
    ++passes_;
  }

  // The next batch; nothing at the end of the pass, after which epoch() is the next one. Throws SampleError.
  std::optional<Batch> next() {
    const std::shared_ptr<data::OrderedWork::Item> item = pass_ ? work_.next() : nullptr;
    if (item == nullptr) {
      if (pass_) set_epoch(epoch_ + 1);
      return std::nullopt;
    }
    auto& slot = static_cast<Slot&>(*item);
    indices_ = std::move(slot.indices);
    slot.throw_failure();
    return std::move(slot.batch);
  }
  // The indices of the batch that next() gave, also of one in which a sample failed.
  const std::vector<int64_t>& indices() const { return indices_; }

  class Iterator {
   public:
    using value_type = Batch;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    explicit Iterator(DataLoader& loader) : loader_(&loader), pass_(loader.passes_), batch_(loader.next()) {}
    Batch& operator*() const { return *batch_; }
    Iterator& operator++() {
      TORCH_CHECK(loader_->passes_ == pass_,
                  "within a loop over a DataLoader another one over it has begun: a DataLoader has one pass at a time");
      batch_ = loader_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return !batch_.has_value(); }

   private:
    DataLoader* loader_;
    int64_t pass_;
    mutable std::optional<Batch> batch_;
  };
  // Begins a pass, and ends the one of a loop under way: where that goes on it throws c10::Error.
  Iterator begin() {
    start();
    return Iterator(*this);
  }
  std::default_sentinel_t end() const { return {}; }

  // Behind the last batch that next() gave: batches that threads have made ahead are made again. At the end of a pass
  // the next one's beginning. Small; goes into a checkpoint.
  checkpoint::Value state_dict() const {
    if (!pass_ || work_.position() == pass_->items()) {
      const int64_t epoch = pass_ ? epoch_ + 1 : epoch_;
      return checkpoint::Dict{{"epoch", epoch}, {"sampler", sampler_->next_state_dict(epoch)}};
    }
    const int64_t taken = work_.position() * source_->options.batch_size;
    return checkpoint::Dict{{"epoch", epoch_}, {"sampler", sampler_->state_dict(taken)}};
  }
  // The next pass is what was left of the state's. All or nothing.
  Status load_state_dict(const checkpoint::Value& state) {
    const checkpoint::Value* const epoch = state.find("epoch");
    const checkpoint::Value* const sampler = state.find("sampler");
    const int64_t* const number = epoch == nullptr ? nullptr : epoch->get<int64_t>();
    if (number == nullptr || *number < 0 || sampler == nullptr) {
      return Error{ErrorKind::kUser, "the loader's state does not fit: it has no epoch and no sampler"};
    }
    if (Status loaded = sampler_->load_state_dict(*sampler); !loaded) return loaded;
    set_epoch(*number);
    return ok_status();
  }

 private:
  struct Source {
    Dataset dataset;
    DataLoaderOptions options;
    Collate collate;
    std::shared_ptr<BatchMemory> memory =
        std::make_shared<BatchMemory>(static_cast<size_t>(std::max(0, options.prefetch)) + 2);
  };

  struct Slot final : data::OrderedWork::Item {
    Slot(const Source& source, std::vector<int64_t> wanted, std::vector<int64_t> fetched)
        : Item(std::ssize(fetched)), indices(std::move(wanted)), fetch(std::move(fetched)) {
      assembly.emplace(source.collate, fetch.size(), source.memory);
    }

    void fail(int64_t place, const std::string& where = "") {
      const std::lock_guard lock(mutex);
      if (failure && failed_at <= place) return;
      failure = std::current_exception();
      failed_at = place;
      failed_where = where;
    }
    void throw_failure() const {
      if (failure) loading::throw_named(fetch[static_cast<size_t>(failed_at)], failure, failed_where);
    }

    std::vector<int64_t> indices;
    const std::vector<int64_t> fetch;  // the indices, or one that gives an empty batch its shapes
    std::optional<loading::Assembly<Collate, Sample>> assembly;  // until the batch is made
    std::optional<Batch> batch;
    std::mutex mutex;  // of what follows, while threads work
    std::exception_ptr failure;
    int64_t failed_at = 0;
    std::string failed_where;
  };

  class Pass final : public data::OrderedWork::Pass {
   public:
    Pass(std::shared_ptr<const Source> source, std::vector<int64_t> indices, int64_t batches, int64_t epoch)
        : source_(std::move(source)), indices_(std::move(indices)), batches_(batches), epoch_(epoch) {}

    int64_t items() const override { return batches_; }

    std::shared_ptr<data::OrderedWork::Item> open(int64_t number) const override {
      const int64_t size = std::ssize(indices_), batch = source_->options.batch_size;
      const int64_t begin = std::min(number * batch, size), end = std::min(begin + batch, size);
      std::vector<int64_t> own(indices_.begin() + begin, indices_.begin() + end);
      std::vector<int64_t> fetch = own.empty() ? std::vector<int64_t>{0} : own;
      return std::make_shared<Slot>(*source_, std::move(own), std::move(fetch));
    }

    void work(data::OrderedWork::Item& item, int64_t part) const override {
      auto& slot = static_cast<Slot&>(item);
      const auto place = static_cast<size_t>(part);
      const int64_t index = slot.fetch[place];
      try {
        SampleRandom random(data::sample_seed(source_->options.seed, epoch_, index));
        slot.assembly->add(place, sample_of(source_->dataset, index, random));
      } catch (...) {
        slot.fail(part);
      }
    }

    void finish(data::OrderedWork::Item& item) const override {
      auto& slot = static_cast<Slot&>(item);
      if (!slot.failure) {
        try {
          make_batch(slot);
        } catch (...) {
          slot.fail(0, "the batch that begins with it: ");
        }
      }
      slot.assembly.reset();
    }

   private:
    void make_batch(Slot& slot) const {
      slot.batch.emplace(slot.assembly->finish());
      if (slot.indices.empty()) {
        loading::change_tensors(*slot.batch, [](const at::Tensor& tensor) { return tensor.narrow(0, 0, 0); });
      }
      if (source_->options.pin_memory && at::globalContext().hasCUDA()) {
        loading::change_tensors(*slot.batch, [](const at::Tensor& tensor) { return tensor.pin_memory(); });
      }
    }

    std::shared_ptr<const Source> source_;
    std::vector<int64_t> indices_;
    int64_t batches_;
    int64_t epoch_;
  };

  int64_t batches_of(int64_t samples) const {
    const int64_t size = source_->options.batch_size;
    return source_->options.drop_last ? samples / size : (samples + size - 1) / size;
  }

  std::shared_ptr<const Source> source_;
  std::shared_ptr<Sampler> sampler_;
  std::shared_ptr<const Pass> pass_;  // under way; null before the first and behind the end of one
  int64_t epoch_ = 0;
  int64_t passes_ = 0;  // begun
  std::vector<int64_t> indices_;
  data::OrderedWork work_;
};

}  // namespace ferrun::ddp
