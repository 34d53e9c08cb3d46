#include "worker/ddp/distributed_checkpoint.h"

#include <torch/optim/optimizer.h>

#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>

#include "worker/checkpoint/distributed_folder.h"
#include "worker/ddp/named_optimizer_state.h"

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::DistributedEntry;
using checkpoint::DistributedItem;
using checkpoint::Value;

// What a rank tells the others: that it failed and why, or what it has written.
constexpr char kFailed = 'F', kWritten = 'W';

std::string told(const Status& status) { return status ? std::string(1, kWritten) : kFailed + status.error().message; }

// The first failure that a rank told of.
Status first_failure(const std::vector<std::string>& answers) {
  for (size_t rank = 0; rank < answers.size(); ++rank) {
    if (answers[rank].empty() || answers[rank][0] != kFailed) continue;
    return Error{ErrorKind::kUser, "rank " + std::to_string(rank) + ": " + answers[rank].substr(1)};
  }
  return ok_status();
}

Result<Dict> named_content(const CheckpointParts& parts, const Dict& more, const CheckpointKeys& keys) {
  Result<Dict> content = checkpoint_content(parts, keys);
  if (!content) return content;
  for (auto& [key, value] : *content) {
    if (parts.module == nullptr || *key.get<std::string>() != keys.optimizer) continue;
    if (parts.optimizer != nullptr) {
      value = optimizer_state_by_name(value, *parts.module, parts.optimizer->parameters());
    } else if (parts.torch_optimizer != nullptr) {
      value = optimizer_state_by_name(value, *parts.module, all_parameters(*parts.torch_optimizer));
    }
  }
  content->insert(content->end(), more.begin(), more.end());
  return content;
}

Status make_folder(const std::string& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) return Error{ErrorKind::kUser, "cannot make the folder " + folder + ": " + failed.message()};
  return checkpoint::begin_distributed(folder);
}

// This rank's share of the entries, written; what the others are told of it.
std::string write_share(const std::string& folder, const Result<Dict>& content, const CheckpointRanks& ranks) {
  if (!content) return told(content.error());
  auto entries = checkpoint::distributed_entries(*content);
  if (!entries) return told(entries.error());
  const std::vector<int> writers = checkpoint::distributed_writers(*entries, ranks.world_size);
  std::vector<DistributedEntry> own;
  for (size_t i = 0; i < entries->size(); ++i) {
    if (writers[i] == ranks.rank) own.push_back(std::move((*entries)[i]));
  }
  const auto items = checkpoint::write_distributed(folder, ranks.rank, own);
  return items ? kWritten + checkpoint::write_metadata(*items) : told(items.error());
}

Status finish(const std::string& folder, const std::vector<std::string>& answers) {
  std::vector<DistributedItem> all;
  for (const std::string& answer : answers) {
    auto items = checkpoint::read_metadata({reinterpret_cast<const uint8_t*>(answer.data()) + 1, answer.size() - 1});
    if (!items) return items.error();
    all.insert(all.end(), std::make_move_iterator(items->begin()), std::make_move_iterator(items->end()));
  }
  return checkpoint::finish_distributed(folder, all);
}

}  // namespace

CheckpointKeys distributed_keys() {
  CheckpointKeys keys;
  keys.module = "model";
  keys.optimizer = "optim";
  keys.schedule = "scheduler";
  keys.scaler = "scaler";
  return keys;
}

Status save_distributed_checkpoint(const std::string& folder, const CheckpointParts& parts,
                                   const CheckpointRanks& ranks, const Dict& more, const CheckpointKeys& keys) {
  const Status made = ranks.rank == 0 ? make_folder(folder) : ok_status();
  if (Status all = first_failure(ranks.all_gather_bytes(told(made))); !all) return all;
  const std::string share = write_share(folder, named_content(parts, more, keys), ranks);
  const std::vector<std::string> answers = ranks.all_gather_bytes(share);
  if (Status all = first_failure(answers); !all) return all;
  return first_failure(ranks.all_gather_bytes(told(ranks.rank == 0 ? finish(folder, answers) : ok_status())));
}

}  // namespace ferrun::ddp
