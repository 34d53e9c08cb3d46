#include "worker/checkpoint/reader.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <map>

#include "worker/checkpoint/archive_reader.h"
#include "worker/checkpoint/distributed_folder.h"
#include "worker/checkpoint/element_types.h"

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
    return at::empty({0}, options).set_(bytes->storage(), stored.storage_offset, stored.sizes, stored.strides);
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

}  // namespace

Result<Value> read(const std::string& path) {
  if (is_distributed(path)) return read_distributed(path);
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
