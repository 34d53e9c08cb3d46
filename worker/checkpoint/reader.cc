#include "worker/checkpoint/reader.h"

#include <ATen/ops/_neg_view.h>
#include <ATen/ops/conj.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <map>

#include "worker/checkpoint/archive_reader.h"
#include "worker/checkpoint/distributed_folder.h"
#include "worker/checkpoint/element_types.h"
#include "worker/checkpoint/weight_index.h"

namespace ferrun::checkpoint {
namespace {

// Storages by key, read when first asked for and then shared, as they were when they were saved.
class Storages {
 public:
  explicit Storages(const StorageReader& reader) : reader_(reader) {}

  const std::string& error() const { return error_; }

  at::Tensor tensor(const StoredTensor& stored) {
    const auto options = at::TensorOptions(to_scalar_type(stored.type));
    const at::Tensor* bytes = storage(stored);
    if (bytes == nullptr) return at::empty({0}, options);
    if (stored.type == ElementType::kBool) make_bools(*bytes);
    at::Tensor read =
        at::empty({0}, options).set_(bytes->storage(), stored.storage_offset, stored.sizes, stored.strides);
    if (stored.conjugate) read = at::conj(read);
    return stored.negative ? at::_neg_view(read) : read;
  }

 private:
  const at::Tensor* storage(const StoredTensor& stored) {
    const auto [found, is_new] = bytes_.try_emplace(stored.storage_key);
    if (!is_new || !error_.empty()) return error_.empty() ? &found->second : nullptr;
    const uint64_t length = reader_.size(stored.storage_key);
    found->second = at::empty({static_cast<int64_t>(length)}, at::TensorOptions(at::kByte));
    const std::span<uint8_t> into(found->second.mutable_data_ptr<uint8_t>(), length);
    if (auto read = reader_.read(stored.storage_key, into); !read) {
      error_ = read.error().message;
      return nullptr;
    }
    return &found->second;
  }

  // A bool that is neither 0 nor 1 would be undefined behaviour in whoever looks at it.
  static void make_bools(const at::Tensor& bytes) {
    uint8_t* begin = bytes.mutable_data_ptr<uint8_t>();
    std::transform(begin, begin + bytes.numel(), begin, [](uint8_t byte) { return uint8_t{byte != 0}; });
  }

  const StorageReader& reader_;
  std::map<std::string, at::Tensor> bytes_;
  std::string error_;
};

Error file_error(const std::string& path, const std::string& what) {
  return {ErrorKind::kUser, "checkpoint " + path + " " + what};
}

// The weights of all files that an index names, as one state_dict.
Result<Value> read_indexed(const std::string& path) {
  const auto source = open_file_source(path);
  if (!source) return file_error(path, source.error().message);
  if ((*source)->size() > kMostIndexBytes) return file_error(path, "is no index of a model's files: it is too large");
  std::string text((*source)->size(), '\0');
  const std::span<uint8_t> into(reinterpret_cast<uint8_t*>(text.data()), text.size());
  if (auto read = (*source)->read_at(0, into); !read) return file_error(path, read.error().message);
  const auto files = read_weight_index(text);
  if (!files) return file_error(path, files.error().message);
  const std::string folder = path.substr(0, path.find_last_of('/') + 1);
  Dict weights;
  for (const auto& [file, names] : *files) {
    if (is_weight_index(file)) return file_error(path, "names " + file + ", which is an index as well");
    Result<Value> part = read(folder + file);
    if (!part) return part;
    const Value* const inner = part->find("state_dict");
    const Dict* const state = (inner == nullptr ? *part : *inner).get<Dict>();
    if (state == nullptr) return file_error(folder + file, "is no state_dict");
    std::map<std::string, const Value*> by_name;
    for (const auto& [key, weight] : *state) {
      if (const auto* name = key.get<std::string>()) by_name.emplace(*name, &weight);
    }
    for (const std::string& name : names) {
      const auto found = by_name.find(name);
      if (found == by_name.end())
        return file_error(path, "says that " + file + " has '" + name + "', which it has not");
      weights.emplace_back(name, *found->second);
    }
  }
  return Value(Dict{{"state_dict", std::move(weights)}});
}

}  // namespace

Result<Value> read(const std::string& path) {
  if (is_distributed(path)) return read_distributed(path);
  if (is_weight_index(path)) return read_indexed(path);
  auto source = open_file_source(path);
  if (!source) return file_error(path, source.error().message);
  return read(**source, path);
}

Result<Value> read(const ByteSource& source, const std::string& name) {
  auto archive = open_archive(source);
  if (!archive) return file_error(name, archive.error().message);
  Storages storages(*archive->storages);
  Value value = map_tensors<at::Tensor>(archive->tree, [&](const StoredTensor& t) { return storages.tensor(t); });
  if (!storages.error().empty()) return file_error(name, storages.error());
  return value;
}

}  // namespace ferrun::checkpoint
