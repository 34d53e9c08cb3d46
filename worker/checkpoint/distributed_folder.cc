#include "worker/checkpoint/distributed_folder.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "worker/checkpoint/archive_writer.h"
#include "worker/checkpoint/atomic_file.h"
#include "worker/checkpoint/byte_source.h"
#include "worker/checkpoint/element_types.h"
#include "worker/checkpoint/reader.h"
#include "worker/checkpoint/signal_guard.h"
#include "worker/checkpoint/stored_value.h"

namespace ferrun::checkpoint {
namespace {

constexpr const char* kMetadataName = ".metadata";
constexpr uint64_t kMaxMetadataBytes = uint64_t{1} << 26;

std::string inside(const std::string& folder, const std::string& name) { return folder + "/" + name; }

Error at_path(const std::string& path, const std::string& what) {
  return {ErrorKind::kUser, "checkpoint " + path + " " + what};
}

Result<std::vector<DistributedItem>> read_items(const std::string& path) {
  auto source = open_file_source(path);
  if (!source) return at_path(path, source.error().message);
  if ((*source)->size() > kMaxMetadataBytes) return at_path(path, "is damaged: it is too long");
  std::vector<uint8_t> bytes((*source)->size());
  if (Status read = (*source)->read_at(0, bytes); !read) return at_path(path, read.error().message);
  auto items = read_metadata(bytes);
  if (!items) return at_path(path, items.error().message);
  return items;
}

// Items nested as they were saved: a leaf, a dict in the order of its first items, or a list.
class Node {
 public:
  // False: the place is taken, or lies in what is no dict or list.
  bool put(std::span<const PathStep> path, Value value) {
    if (path.empty()) {
      if (leaf_ || !children_.empty()) return false;
      leaf_ = std::move(value);
      return true;
    }
    if (leaf_ || (!children_.empty() && children_.front()->step_.index() != path.front().index())) return false;
    const auto [found, is_new] = positions_.emplace(path.front(), children_.size());
    if (is_new) {
      children_.push_back(std::make_unique<Node>());
      children_.back()->step_ = path.front();
    }
    return children_[found->second]->put(path.subspan(1), std::move(value));
  }

  // None for a list that lacks more items than Python leaves out (empty dicts).
  std::optional<Value> value() {
    if (leaf_) return std::move(*leaf_);
    Dict dict;
    List list;
    for (const auto& child : children_) {
      auto held = child->value();
      if (!held) return std::nullopt;
      if (const auto* position = std::get_if<int64_t>(&child->step_)) {
        const auto at = static_cast<size_t>(*position);
        if (at >= children_.size() + kMostHoles) return std::nullopt;
        if (at >= list.size()) list.resize(at + 1);
        list[at] = std::move(*held);
      } else {
        dict.emplace_back(std::get<std::string>(child->step_), std::move(*held));
      }
    }
    return list.empty() ? Value(std::move(dict)) : Value(std::move(list));
  }

 private:
  static constexpr size_t kMostHoles = 16;

  PathStep step_;
  std::optional<Value> leaf_;
  std::vector<std::unique_ptr<Node>> children_;
  std::map<PathStep, size_t> positions_;
};

// Something to be read from one file.
struct Want {
  const DistributedPlace* place;
  size_t item;
  const DistributedChunk* chunk;  // null: an object
};

// Puts the folder's items together, file by file.
class FolderReader {
 public:
  FolderReader(const std::string& folder, const std::vector<DistributedItem>& items)
      : folder_(folder), items_(items), values_(items.size()) {}

  Result<Value> run() {
    const at::NoGradGuard no_grad;
    std::map<std::string, std::vector<Want>> by_file;
    for (size_t i = 0; i < items_.size(); ++i) {
      if (const auto* place = std::get_if<DistributedPlace>(&items_[i].held)) {
        by_file[place->file].push_back({place, i, nullptr});
        continue;
      }
      const auto& tensor = std::get<DistributedTensor>(items_[i].held);
      for (const DistributedChunk& chunk : tensor.chunks)
        by_file[chunk.place.file].push_back({&chunk.place, i, &chunk});
      if (tensor.chunks.empty()) values_[i] = at::empty(tensor.sizes, to_scalar_type(tensor.type));
    }
    if (Status sound = check_sizes(); !sound) return sound.error();
    for (auto& [name, wants] : by_file) {
      if (Status read = read_file(inside(folder_, name), wants); !read) return read.error();
    }
    return assemble();
  }

 private:
  // A tensor's elements lie in files that are longer than they.
  Status check_sizes() const {
    for (const DistributedItem& item : items_) {
      const auto* tensor = std::get_if<DistributedTensor>(&item.held);
      if (tensor == nullptr) continue;
      uint64_t there = 0, wanted = element_info(tensor->type).bytes;
      for (const DistributedChunk& chunk : tensor->chunks) {
        if (__builtin_add_overflow(there, chunk.place.length, &there)) there = ~uint64_t{0};
      }
      for (const int64_t size : tensor->sizes) {
        if (__builtin_mul_overflow(wanted, static_cast<uint64_t>(size), &wanted)) wanted = ~uint64_t{0};
      }
      if (wanted > there) return at_path(folder_, "is damaged: '" + item.name + "' is larger than what is there of it");
    }
    return ok_status();
  }

  Status read_file(const std::string& path, std::vector<Want>& wants) {
    auto source = open_file_source(path);
    if (!source) return at_path(path, source.error().message);
    std::ranges::sort(wants, {}, [](const Want& want) { return want.place->offset; });
    uint64_t end = 0;  // places do not overlap: no byte is read twice
    for (const Want& want : wants) {
      if (want.place->offset < end || want.place->offset > (*source)->size() ||
          want.place->length > (*source)->size() - want.place->offset) {
        return at_path(path, "is truncated, or does not belong to its .metadata");
      }
      end = want.place->offset + want.place->length;
    }
    for (const Want& want : wants) {
      const std::string& name = items_[want.item].name;
      auto value = read(RangeSource(**source, want.place->offset, want.place->length), path + " ('" + name + "')");
      if (!value) return value.error();
      if (want.chunk == nullptr) {
        values_[want.item] = std::move(*value);
      } else if (Status put = put_chunk(want, std::move(*value)); !put) {
        return at_path(path, put.error().message);
      }
    }
    return ok_status();
  }

  Status put_chunk(const Want& want, Value value) {
    const auto& whole = std::get<DistributedTensor>(items_[want.item].held);
    const at::Tensor* const part = value.get<at::Tensor>();
    if (part == nullptr || part->scalar_type() != to_scalar_type(whole.type) || part->sizes() != want.chunk->sizes) {
      return Error{ErrorKind::kUser, "is damaged: '" + items_[want.item].name + "' is not what its .metadata says"};
    }
    if (want.chunk->sizes == whole.sizes) {
      values_[want.item] = std::move(value);
      return ok_status();
    }
    if (values_[want.item].is_none()) values_[want.item] = at::empty(whole.sizes, to_scalar_type(whole.type));
    at::Tensor target = *values_[want.item].get<at::Tensor>();
    for (size_t i = 0; i < whole.sizes.size(); ++i) {
      target = target.narrow(static_cast<int64_t>(i), want.chunk->offsets[i], want.chunk->sizes[i]);
    }
    target.copy_(*part);
    return ok_status();
  }

  Result<Value> assemble() {
    Node root;
    for (size_t i = 0; i < items_.size(); ++i) {
      if (!root.put(items_[i].path, std::move(values_[i]))) {
        return at_path(folder_, "is damaged: '" + items_[i].name + "' has no place");
      }
    }
    auto value = root.value();
    if (!value) return at_path(folder_, "is damaged: a list with holes");
    return std::move(*value);
  }

  const std::string& folder_;
  const std::vector<DistributedItem>& items_;
  std::vector<Value> values_;
};

// Takes a content apart as Python's traverse_state_dict does.
class Divider {
 public:
  Result<std::vector<DistributedEntry>> run(const Value& content) {
    if (content.get<Dict>() == nullptr) return Error{ErrorKind::kInternal, "it is no dict"};
    divide(content);
    if (!error_.empty()) return Error{ErrorKind::kInternal, error_};
    return std::move(entries_);
  }

 private:
  // A list is kept whole unless it holds tensors or dicts; a tuple always is.
  static bool is_whole(const Value& value) {
    if (value.get<Dict>() != nullptr) return false;
    const List* const list = value.get<List>();
    return list == nullptr || std::ranges::all_of(*list, [](const Value& item) {
             return item.get<at::Tensor>() == nullptr && (item.get<List>() == nullptr || is_whole(item)) &&
                    item.get<Dict>() == nullptr;
           });
  }

  void divide(const Value& value) {
    if (const Dict* const dict = value.get<Dict>()) {
      for (const auto& [key, item] : *dict) {
        const auto* text = key.get<std::string>();
        const auto* number = key.get<int64_t>();
        if (text == nullptr && number == nullptr) {
          error_ = "it has a key that is neither a text nor a whole number";
          return;
        }
        step_into(text != nullptr ? *text : std::to_string(*number), item);
      }
    } else if (is_whole(value)) {
      add(value);
    } else {
      const List& list = *value.get<List>();
      for (size_t i = 0; i < list.size(); ++i) step_into(static_cast<int64_t>(i), list[i]);
    }
  }

  void step_into(PathStep step, const Value& value) {
    path_.push_back(std::move(step));
    divide(value);
    path_.pop_back();
  }

  void add(const Value& value) {
    if (const std::string name = item_name(path_); !names_.insert(name).second) {
      error_ = "two of its entries are called " + name;
    }
    entries_.push_back({path_, value});
  }

  std::vector<PathStep> path_;
  std::vector<DistributedEntry> entries_;
  std::set<std::string> names_;
  std::string error_;
};

// Counts what goes into a file: its archives begin at known places.
class CountingSink final : public ByteSink {
 public:
  explicit CountingSink(ByteSink& sink) : sink_(sink) {}
  Status write(std::span<const uint8_t> bytes) override {
    count_ += bytes.size();
    return sink_.write(bytes);
  }
  uint64_t count() const { return count_; }

 private:
  ByteSink& sink_;
  uint64_t count_ = 0;
};

size_t bytes_of(const Value& value) {
  size_t bytes = 0;
  for_each_tensor(value, [&](const at::Tensor& tensor) { bytes += tensor.defined() ? tensor.nbytes() : 0; });
  return bytes;
}

}  // namespace

bool is_distributed(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(inside(path, kMetadataName), ignored);
}

Result<Value> read_distributed(const std::string& path) {
  auto items = read_items(inside(path, kMetadataName));
  if (!items) return items.error();
  return FolderReader(path, *items).run();
}

Result<std::vector<DistributedEntry>> distributed_entries(const Value& content) { return Divider().run(content); }

std::vector<int> distributed_writers(const std::vector<DistributedEntry>& entries, int world_size) {
  std::vector<size_t> order(entries.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::stable_sort(order, std::greater<>(), [&](size_t i) { return bytes_of(entries[i].value); });
  std::vector<size_t> load(static_cast<size_t>(world_size), 0);
  std::vector<int> writers(entries.size(), 0);
  for (const size_t i : order) {
    const auto lightest = std::ranges::min_element(load);
    *lightest += bytes_of(entries[i].value) + 1;
    writers[i] = static_cast<int>(lightest - load.begin());
  }
  return writers;
}

Result<std::vector<DistributedItem>> write_distributed(const std::string& folder, int rank,
                                                       const std::vector<DistributedEntry>& entries,
                                                       FileSystem& files) {
  const FileSizeSignalGuard guard;
  const std::string name = "__" + std::to_string(rank) + "_0.distcp", path = inside(folder, name);
  std::vector<DistributedItem> items;
  AtomicFile file(path, files);
  if (Status opened = file.open(); !opened) return opened.error();
  CountingSink sink(file);
  for (const DistributedEntry& entry : entries) {
    Result<StoredValue> stored = store(entry.value);
    if (!stored) return Error{stored.error().kind, "cannot save " + path + ": " + stored.error().message};
    DistributedPlace place{name, sink.count(), 0};
    if (Status wrote = write_archive(sink, stored->tree, stored->storages); !wrote) return wrote.error();
    place.length = sink.count() - place.offset;
    DistributedItem item{item_name(entry.path), entry.path, place};
    if (const auto* tensor = stored->tree.get<StoredTensor>()) {
      const std::vector<int64_t> offsets(tensor->sizes.size(), 0);
      item.held = DistributedTensor{tensor->type, tensor->sizes, {{offsets, tensor->sizes, std::move(place)}}};
    }
    items.push_back(std::move(item));
  }
  if (Status there = file.commit(); !there) return there.error();
  return items;
}

Status begin_distributed(const std::string& folder, FileSystem& files) {
  const std::string path = inside(folder, kMetadataName);
  const int removed = files.unlink(path);
  if (removed == 0 || removed == -ENOENT) return ok_status();
  return Error{ErrorKind::kPlatform, "cannot replace " + path + ": " + std::strerror(-removed)};
}

Status finish_distributed(const std::string& folder, const std::vector<DistributedItem>& items, FileSystem& files) {
  const std::string bytes = write_metadata(items);
  AtomicFile file(inside(folder, kMetadataName), files);
  if (Status opened = file.open(); !opened) return opened;
  if (Status wrote = file.write({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}); !wrote) return wrote;
  return file.commit();
}

}  // namespace ferrun::checkpoint
