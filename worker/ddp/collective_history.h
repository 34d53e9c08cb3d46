// Which collectives a rank has called: the evidence when ranks wait for each other in vain because one of them calls
// another collective than its peers.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "worker/ddp/exchange_history.h"

namespace ferrun::ddp {

enum class CollectiveKind : uint8_t {
  kAllReduce,
  kBroadcast,
  kAllGather,
  kBarrier,
  kGradients,
  kModelState,
  kReduce,
  kGather,
  kScatter,
  kReduceScatter,
  kAllToAll,
  kModelCheck,
  kShutDown,
};

// What a reduction makes of the ranks' numbers.
enum class ReduceOp : uint8_t { kSum, kAverage, kProduct, kMin, kMax, kBitAnd, kBitOr, kBitXor };

// What has to be the same on all ranks in one collective.
struct Collective {
  static constexpr size_t kMaxDimensions = 6;

  CollectiveKind kind = CollectiveKind::kBarrier;
  c10::ScalarType dtype = c10::ScalarType::Undefined;
  int root = -1;  // of a broadcast, a reduction to one rank, …
  ReduceOp operation = ReduceOp::kSum;
  uint8_t dimensions = 0;
  std::array<int64_t, kMaxDimensions> sizes = {};  // of more dimensions the last is what all the others come to

  static Collective of(CollectiveKind kind, const at::Tensor& tensor, int root = -1);
  // Of several tensors in one go (gradients, a module's state): their number and their elements in all.
  static Collective of(CollectiveKind kind, const std::vector<at::Tensor>& tensors);

  // The same with another operation than the sum.
  Collective with(ReduceOp reduction) const {
    Collective made = *this;
    made.operation = reduction;
    return made;
  }

  // "broadcast of int64 [1] from rank 0"
  std::string text() const;
};

// The last collectives by their number in the job, from 1 on, as text.
using RecentCollectives = std::map<int64_t, std::string>;

// Thread rule: any thread. A note is a copy under a lock and takes no memory.
class CollectiveHistory {
 public:
  void note(const Collective& collective);

  // Number and digest of all so far: equal on ranks that have called the same ones.
  std::pair<int64_t, int64_t> digest() const;
  // At most the last 32.
  RecentCollectives recent() const;

  // Of what each two ranks agree on.
  ExchangeHistory& exchanges() { return exchanges_; }
  const ExchangeHistory& exchanges() const { return exchanges_; }

 private:
  static constexpr int64_t kKept = 32;

  ExchangeHistory exchanges_;
  mutable std::mutex mutex_;
  std::array<Collective, kKept> ring_;
  int64_t count_ = 0;
  uint64_t digest_ = 0xcbf29ce484222325;  // FNV-1a's basis
};

// As text for the job's store, and back; what cannot be read is left out.
std::string encode(const RecentCollectives& recent);
RecentCollectives decode_collectives(const std::string& text);

// The first number at which two ranks called different collectives, told in one line; empty when there is none among
// what is known. `by_rank`: of each rank that is known. `group`: whose collectives they are.
std::string mispaired_collectives(const std::map<int, RecentCollectives>& by_rank,
                                  const std::string& group = "the job");

}  // namespace ferrun::ddp
