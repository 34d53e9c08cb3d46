// What a rank has sent to each other rank and waited for from it, where both sides choose the size (messages, parts of
// an all-to-all): the evidence when they do not fit. Gloo ends the process that is sent more than it waits for, and
// tells nobody when less comes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

namespace ferrun::ddp {

// One side of a transfer.
struct Exchange {
  bool sent = false;   // else waited for
  int peer = 0;        // a rank of the group
  int64_t number = 0;  // which all-to-all of the group's collectives, which message to or from this rank with this tag
  int tag = kAllToAll;
  int64_t elements = 0;
  c10::ScalarType type = c10::ScalarType::Undefined;

  static constexpr int kAllToAll = -1;
};

// Thread rule: any thread.
class ExchangeHistory {
 public:
  void note_message(bool sent, int peer, int tag, const at::Tensor& tensor);
  // `collective`: its number; parts by rank.
  void note_all_to_all(int64_t collective, const std::vector<at::Tensor>& received,
                       const std::vector<at::Tensor>& parts);

  // 0, added up over all ranks, when every transfer so far had two sides of one size and type. `rank`: this one.
  int64_t balance(int rank) const;
  // At most the last 512.
  std::vector<Exchange> recent() const;

 private:
  void keep(const Exchange& exchange);

  mutable std::mutex mutex_;
  std::deque<Exchange> kept_;
  std::map<std::tuple<bool, int, int>, int64_t> messages_;  // so far, by direction, peer and tag
  // For each pair of ranks what was sent less what was waited for, each as a mixture of all that has to be equal.
  std::map<std::pair<bool, int>, uint64_t> sums_;
};

// As text for the job's store, and back; what cannot be read is left out.
std::string encode(const std::vector<Exchange>& exchanges);
std::vector<Exchange> decode_exchanges(const std::string& text);

// The first transfer whose sides do not fit, told in one line; empty when there is none among what is known. `by_rank`:
// of each rank of the group that is known; `names`: its ranks as they are called.
std::string unequal_exchange(const std::map<int, std::vector<Exchange>>& by_rank, const std::vector<int>& names);

}  // namespace ferrun::ddp
