#include "worker/ddp/collective_history.h"

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <charconv>
#include <sstream>

namespace ferrun::ddp {
namespace {

const char* kind_text(CollectiveKind kind) {
  switch (kind) {
    case CollectiveKind::kAllReduce: return "all-reduce";
    case CollectiveKind::kBroadcast: return "broadcast";
    case CollectiveKind::kAllGather: return "all-gather";
    case CollectiveKind::kReduce: return "reduction";
    case CollectiveKind::kGather: return "gather";
    case CollectiveKind::kScatter: return "scatter";
    case CollectiveKind::kReduceScatter: return "reduce-scatter";
    case CollectiveKind::kAllToAll: return "all-to-all";
    case CollectiveKind::kGradients: return "reduction of gradients";
    case CollectiveKind::kModelState: return "broadcast of a model's state";
    case CollectiveKind::kModelCheck: return "comparison of models";
    case CollectiveKind::kShutDown: return "shut_down, having no more to do";
    case CollectiveKind::kBarrier: break;
  }
  return "barrier";
}

// Nothing for the sum, which is the usual one.
const char* operation_text(ReduceOp operation) {
  switch (operation) {
    case ReduceOp::kAverage: return " (average)";
    case ReduceOp::kProduct: return " (product)";
    case ReduceOp::kMin: return " (minimum)";
    case ReduceOp::kMax: return " (maximum)";
    case ReduceOp::kBitAnd: return " (and)";
    case ReduceOp::kBitOr: return " (or)";
    case ReduceOp::kBitXor: return " (exclusive or)";
    case ReduceOp::kSum: break;
  }
  return "";
}

const char* root_word(CollectiveKind kind) {
  return kind == CollectiveKind::kReduce || kind == CollectiveKind::kGather ? " to rank " : " from rank ";
}

// FNV-1a's step on a word.
uint64_t mixed_in(uint64_t digest, int64_t word) { return (digest ^ static_cast<uint64_t>(word)) * 0x100000001b3; }

// "rank 0", "ranks 1, 2 and 3"; of many ranks the first few.
std::string ranks_text(const std::vector<int>& ranks) {
  constexpr size_t kShown = 8;
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (size_t i = 0; i < std::min(ranks.size(), kShown); ++i) {
    text += (i == 0 ? "" : i + 1 == ranks.size() ? " and " : ", ") + std::to_string(ranks[i]);
  }
  return ranks.size() > kShown ? text + " and " + std::to_string(ranks.size() - kShown) + " more" : text;
}

}  // namespace

Collective Collective::of(CollectiveKind kind, const at::Tensor& tensor, int root) {
  Collective made;
  made.kind = kind;
  made.dtype = tensor.scalar_type();
  made.root = root;
  const auto sizes = tensor.sizes();
  made.dimensions = static_cast<uint8_t>(std::min(sizes.size(), kMaxDimensions));
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (i < kMaxDimensions) {
      made.sizes[i] = sizes[i];
    } else {
      made.sizes[kMaxDimensions - 1] *= sizes[i];
    }
  }
  return made;
}

Collective Collective::of(CollectiveKind kind, const std::vector<at::Tensor>& tensors) {
  Collective made;
  made.kind = kind;
  if (!tensors.empty()) made.dtype = tensors.front().scalar_type();
  made.dimensions = 2;
  made.sizes[0] = static_cast<int64_t>(tensors.size());
  for (const at::Tensor& tensor : tensors) made.sizes[1] += tensor.numel();
  return made;
}

std::string Collective::text() const {
  std::string text = kind_text(kind);
  if (kind == CollectiveKind::kBarrier || kind == CollectiveKind::kShutDown) return text;
  std::string type = c10::toString(dtype);
  std::transform(type.begin(), type.end(), type.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
  if (kind == CollectiveKind::kGradients || kind == CollectiveKind::kModelState ||
      kind == CollectiveKind::kModelCheck) {
    return text + " (" + std::to_string(sizes[0]) + " tensors, " + std::to_string(sizes[1]) + " x " + type + ")";
  }
  text += operation_text(operation);
  text += " of " + type + " [";
  for (size_t i = 0; i < dimensions; ++i) {
    const bool own = kind == CollectiveKind::kAllToAll && i == 0;  // each part has its own
    text += (i == 0 ? "" : ", ") + (own ? "…" : std::to_string(sizes[i]));
  }
  text += "]";
  return root < 0 ? text : text + root_word(kind) + std::to_string(root);
}

void CollectiveHistory::note(const Collective& collective) {
  const std::lock_guard lock(mutex_);
  ring_[static_cast<size_t>(count_++ % kKept)] = collective;
  digest_ = mixed_in(digest_, static_cast<int64_t>(collective.kind));
  digest_ = mixed_in(digest_, static_cast<int64_t>(collective.dtype));
  digest_ = mixed_in(digest_, collective.root);
  digest_ = mixed_in(digest_, static_cast<int64_t>(collective.operation));
  digest_ = mixed_in(digest_, collective.dimensions);
  for (size_t i = 0; i < collective.dimensions; ++i) digest_ = mixed_in(digest_, collective.sizes[i]);
}

std::pair<int64_t, int64_t> CollectiveHistory::digest() const {
  const std::lock_guard lock(mutex_);
  return {count_, static_cast<int64_t>(digest_)};
}

RecentCollectives CollectiveHistory::recent() const {
  const std::lock_guard lock(mutex_);
  RecentCollectives recent;
  for (int64_t i = std::max<int64_t>(0, count_ - kKept); i < count_; ++i) {
    recent.emplace(i + 1, ring_[static_cast<size_t>(i % kKept)].text());
  }
  return recent;
}

std::string encode(const RecentCollectives& recent) {
  std::string text;
  for (const auto& [number, collective] : recent) text += std::to_string(number) + " " + collective + "\n";
  return text;
}

RecentCollectives decode_collectives(const std::string& text) {
  RecentCollectives recent;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number);
    if (error == std::errc() && *end == ' ') recent.emplace(number, line.substr(line.find(' ') + 1));
  }
  return recent;
}

std::string mispaired_collectives(const std::map<int, RecentCollectives>& by_rank, const std::string& group) {
  std::map<int64_t, std::map<std::string, std::vector<int>>> by_number;
  for (const auto& [rank, recent] : by_rank) {
    for (const auto& [number, collective] : recent) by_number[number][collective].push_back(rank);
  }
  const auto differing =
      std::find_if(by_number.begin(), by_number.end(), [](const auto& entry) { return entry.second.size() > 1; });
  if (differing == by_number.end()) return "";
  std::string text;
  for (const auto& [collective, ranks] : differing->second) {
    text += (text.empty() ? "" : "; ") + ranks_text(ranks) + " called " + collective;
  }
  return "the ranks called different collectives as number " + std::to_string(differing->first) + " of " + group +
         ": " + text;
}

}  // namespace ferrun::ddp
