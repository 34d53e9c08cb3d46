#include "worker/ddp/exchange_history.h"

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <sstream>

namespace ferrun::ddp {
namespace {

constexpr size_t kExchangesKept = 512;

uint64_t fnv_of(std::initializer_list<int64_t> words) {
  uint64_t digest = 0xcbf29ce484222325;
  for (const int64_t word : words) {
    for (int shift = 0; shift < 64; shift += 8) digest = (digest ^ ((word >> shift) & 0xff)) * 0x100000001b3;
  }
  return digest;
}

std::string elements_text(const Exchange& exchange) {
  std::string type = c10::toString(exchange.type);
  std::ranges::transform(type, type.begin(), [](unsigned char c) { return std::tolower(c); });
  return std::to_string(exchange.elements) + " x " + type;
}

}  // namespace

void ExchangeHistory::note_message(bool sent, int peer, int tag, const at::Tensor& tensor) {
  const std::lock_guard lock(mutex_);
  keep({sent, peer, ++messages_[{sent, peer, tag}], tag, tensor.numel(), tensor.scalar_type()});
}

void ExchangeHistory::note_all_to_all(int64_t collective, const std::vector<at::Tensor>& received,
                                      const std::vector<at::Tensor>& parts) {
  const std::lock_guard lock(mutex_);
  for (const bool sent : {true, false}) {
    const std::vector<at::Tensor>& tensors = sent ? parts : received;
    for (size_t peer = 0; peer < tensors.size(); ++peer) {
      keep({sent, static_cast<int>(peer), collective, Exchange::kAllToAll, tensors[peer].numel(),
            tensors[peer].scalar_type()});
    }
  }
}

void ExchangeHistory::keep(const Exchange& exchange) {
  if (kept_.size() == kExchangesKept) kept_.pop_front();
  kept_.push_back(exchange);
  sums_[{exchange.sent, exchange.peer}] +=
      fnv_of({exchange.tag, exchange.number, exchange.elements, static_cast<int64_t>(exchange.type)});
}

int64_t ExchangeHistory::balance(int rank) const {
  const std::lock_guard lock(mutex_);
  uint64_t balance = 0;
  for (const auto& [side, sum] : sums_) {
    const auto [sent, peer] = side;
    const uint64_t pair = fnv_of({sent ? rank : peer, sent ? peer : rank}) | 1;
    balance += (sent ? sum : -sum) * pair;
  }
  return static_cast<int64_t>(balance);
}

std::vector<Exchange> ExchangeHistory::recent() const {
  const std::lock_guard lock(mutex_);
  return {kept_.begin(), kept_.end()};
}

std::string encode(const std::vector<Exchange>& exchanges) {
  std::ostringstream text;
  for (const Exchange& exchange : exchanges) {
    text << exchange.sent << " " << exchange.peer << " " << exchange.number << " " << exchange.tag << " "
         << exchange.elements << " " << static_cast<int>(exchange.type) << "\n";
  }
  return text.str();
}

std::vector<Exchange> decode_exchanges(const std::string& text) {
  std::vector<Exchange> exchanges;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    Exchange read;
    int type = 0;
    if (!(words >> read.sent >> read.peer >> read.number >> read.tag >> read.elements >> type)) continue;
    if (type < 0 || type >= static_cast<int>(c10::ScalarType::NumOptions)) continue;
    read.type = static_cast<c10::ScalarType>(type);
    exchanges.push_back(read);
  }
  return exchanges;
}

std::string unequal_exchange(const std::map<int, std::vector<Exchange>>& by_rank, const std::vector<int>& names) {
  const auto name = [&names](int rank) { return std::to_string(names.at(static_cast<size_t>(rank))); };
  for (const auto& [rank, exchanges] : by_rank) {
    for (const Exchange& sent : exchanges) {
      const auto other = by_rank.find(sent.peer);
      if (!sent.sent || other == by_rank.end()) continue;
      const auto waited = std::ranges::find_if(other->second, [&, from = rank](const Exchange& side) {
        return !side.sent && side.peer == from && side.number == sent.number && side.tag == sent.tag;
      });
      if (waited == other->second.end()) continue;
      if (waited->elements == sent.elements && waited->type == sent.type) continue;
      const std::string what = sent.tag == Exchange::kAllToAll
                                   ? "all-to-all, collective number " + std::to_string(sent.number)
                                   : "message " + std::to_string(sent.number) + " with tag " + std::to_string(sent.tag);
      return "rank " + name(rank) + " sent " + elements_text(sent) + " to rank " + name(sent.peer) +
             ", which waited for " + elements_text(*waited) + " (" + what + ")";
    }
  }
  return "";
}

}  // namespace ferrun::ddp
