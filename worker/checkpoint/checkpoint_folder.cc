#include "worker/checkpoint/checkpoint_folder.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "worker/checkpoint/atomic_file.h"

namespace ferrun::checkpoint {
namespace {

using nlohmann::json;

constexpr const char* kIndexName = "latest.json";
constexpr std::string_view kBefore = "step-", kBehind = ".pt";
constexpr size_t kDigits = 8;

std::string in_folder(const std::string& folder, const std::string& name) { return folder + "/" + name; }

// The step of a file that a save wrote.
std::optional<int64_t> step_of(std::string_view name) {
  if (!name.starts_with(kBefore) || !name.ends_with(kBehind)) return std::nullopt;
  const std::string_view digits = name.substr(kBefore.size(), name.size() - kBefore.size() - kBehind.size());
  int64_t step = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  if (error != std::errc() || end != digits.data() + digits.size() || step < 0) return std::nullopt;
  return checkpoint_name(step) == name ? std::optional(step) : std::nullopt;
}

json index_at(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return json::parse(text.str(), nullptr, /*allow_exceptions=*/false);
}

// What the index says, as far as it makes sense.
std::vector<FolderEntry> entries_of(const json& index) {
  std::vector<FolderEntry> entries;
  if (!index.is_object() || !index.contains("checkpoints") || !index["checkpoints"].is_array()) return entries;
  for (const json& one : index["checkpoints"]) {
    if (!one.is_object() || !one.contains("file") || !one["file"].is_string()) continue;
    FolderEntry entry{one["file"].get<std::string>(), 0, std::nullopt};
    const auto step = step_of(entry.file);
    if (!step) continue;
    entry.step = *step;
    if (one.contains("metric") && one["metric"].is_number()) entry.metric = one["metric"].get<double>();
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::string index_text(const std::vector<FolderEntry>& entries, bool lower_is_better) {
  json list = json::array();
  for (const FolderEntry& entry : entries) {
    list.push_back({{"file", entry.file}, {"step", entry.step}});
    if (entry.metric) list.back()["metric"] = *entry.metric;
  }
  const FolderEntry* const best = best_entry(entries, lower_is_better);
  const json best_name = best == nullptr ? json() : json(best->file);
  return json{{"latest", entries.back().file}, {"best", best_name}, {"checkpoints", std::move(list)}}.dump() + "\n";
}

}  // namespace

std::string checkpoint_name(int64_t step) {
  std::string digits = std::to_string(step);
  if (digits.size() < kDigits) digits.insert(0, kDigits - digits.size(), '0');
  return std::string(kBefore) + digits + std::string(kBehind);
}

std::vector<FolderEntry> read_folder(const std::string& folder, FileSystem& files) {
  std::vector<FolderEntry> there;
  for (const std::string& name : files.list(folder, std::string(kBefore))) {
    if (const auto step = step_of(name)) there.push_back({name, *step, std::nullopt});
  }
  std::ranges::sort(there, {}, &FolderEntry::step);
  const auto take = [&](const std::string& name) {
    return std::erase_if(there, [&](const FolderEntry& entry) { return entry.file == name; }) != 0;
  };
  std::vector<FolderEntry> entries;
  for (FolderEntry& entry : entries_of(index_at(in_folder(folder, kIndexName)))) {
    if (take(entry.file)) entries.push_back(std::move(entry));
  }
  const int64_t newest = entries.empty() ? -1 : entries.back().step;
  const auto newer = std::ranges::partition_point(there, [&](const FolderEntry& entry) { return entry.step < newest; });
  entries.insert(entries.end(), newer, there.end());
  entries.insert(entries.begin(), there.begin(), newer);
  return entries;
}

const FolderEntry* best_entry(const std::vector<FolderEntry>& entries, bool lower_is_better) {
  const FolderEntry* best = nullptr;
  for (const FolderEntry& entry : entries) {
    if (!entry.metric) continue;
    const bool better =
        best == nullptr || (lower_is_better ? *entry.metric <= *best->metric : *entry.metric >= *best->metric);
    if (better) best = &entry;
  }
  return best;
}

std::vector<FolderEntry> retained(const std::vector<FolderEntry>& entries, const Retention& retention) {
  if (retention.last <= 0) return entries;
  std::vector<bool> stays(entries.size(), false);
  const size_t last = std::min(entries.size(), static_cast<size_t>(retention.last));
  std::fill(stays.end() - static_cast<ptrdiff_t>(last), stays.end(), true);
  std::vector<FolderEntry> candidates = entries;
  for (int i = 0; i < retention.best; ++i) {
    const FolderEntry* const best = best_entry(candidates, retention.lower_is_better);
    if (best == nullptr) break;
    const auto index = static_cast<size_t>(best - candidates.data());
    stays[index] = true;
    candidates[index].metric.reset();
  }
  std::vector<FolderEntry> kept;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (stays[i]) kept.push_back(entries[i]);
  }
  return kept;
}

Status add_to_folder(const std::string& folder, FolderEntry entry, const Retention& retention,
                     std::vector<FolderEntry>& entries, FileSystem& files) {
  if (entry.metric && !std::isfinite(*entry.metric)) entry.metric.reset();
  std::erase_if(entries, [&](const FolderEntry& earlier) { return earlier.file == entry.file; });
  entries.push_back(std::move(entry));
  std::vector<FolderEntry> kept = retained(entries, retention);
  const std::string text = index_text(kept, retention.lower_is_better);
  AtomicFile index(in_folder(folder, kIndexName), files);
  if (Status opened = index.open(); !opened) return opened;
  if (Status wrote = index.write({reinterpret_cast<const uint8_t*>(text.data()), text.size()}); !wrote) return wrote;
  if (Status there = index.commit(); !there) return there;
  for (const FolderEntry& earlier : entries) {
    if (std::ranges::find(kept, earlier) == kept.end()) files.unlink(in_folder(folder, earlier.file));
  }
  entries = std::move(kept);
  return ok_status();
}

std::optional<std::string> latest_checkpoint(const std::string& folder) {
  const std::vector<FolderEntry> entries = read_folder(folder);
  return entries.empty() ? std::nullopt : std::optional(in_folder(folder, entries.back().file));
}

std::optional<std::string> best_checkpoint(const std::string& folder) {
  const json index = index_at(in_folder(folder, kIndexName));
  if (!index.is_object() || !index.contains("best") || !index["best"].is_string()) return std::nullopt;
  const auto name = index["best"].get<std::string>();
  for (const FolderEntry& entry : read_folder(folder)) {
    if (entry.file == name) return in_folder(folder, name);
  }
  return std::nullopt;
}

}  // namespace ferrun::checkpoint
