#include "worker/checkpoint/writer.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "worker/checkpoint/archive_writer.h"
#include "worker/checkpoint/atomic_file.h"
#include "worker/checkpoint/element_types.h"
#include "worker/checkpoint/safetensors.h"
#include "worker/checkpoint/signal_guard.h"

namespace ferrun::checkpoint {
namespace {

// The tree with numbers in place of tensors, and the tensors' bytes, which `kept` keeps alive.
struct Prepared {
  StoredTree tree;
  std::vector<at::Tensor> kept;
  std::vector<std::span<const uint8_t>> storages;
  std::string error;
};

StoredTensor describe(const at::Tensor& tensor, Prepared& prepared) {
  const auto type = to_element_type(tensor.scalar_type());
  if (!tensor.defined() || !type || tensor.layout() != c10::kStrided) {
    prepared.error = "it holds a tensor of a kind that checkpoints cannot store";
    return {};
  }
  // Neither call copies what is contiguous on the CPU already.
  const at::Tensor plain = tensor.detach().cpu().contiguous();
  const std::string key = std::to_string(prepared.storages.size());
  prepared.kept.push_back(plain);
  prepared.storages.emplace_back(static_cast<const uint8_t*>(plain.const_data_ptr()), plain.nbytes());
  return StoredTensor{*type, key, plain.nbytes(), 0, plain.sizes().vec(), plain.strides().vec()};
}

Error cannot_save(const std::string& path, const std::string& why) {
  return {ErrorKind::kInternal, "cannot save " + path + ": " + why};
}

// Lets `write` fill a file that then stands at `path`.
template <typename Write>
Status save(const std::string& path, const WriteOptions& options, Write&& write) {
  const FileSizeSignalGuard guard;
  AtomicFile file(path, options.files == nullptr ? machine_file_system() : *options.files);
  if (auto opened = file.open(); !opened) return opened;
  if (Status wrote = write(file); !wrote) return wrote;
  return file.commit(options.previous_path);
}

}  // namespace

Status write_atomically(const std::string& path, const Value& value, const WriteOptions& options) {
  Prepared prepared;
  prepared.tree = map_tensors<StoredTensor>(value, [&](const at::Tensor& t) { return describe(t, prepared); });
  if (!prepared.error.empty()) return cannot_save(path, prepared.error);
  return save(path, options, [&](ByteSink& file) { return write_archive(file, prepared.tree, prepared.storages); });
}

Status write_safetensors_atomically(const std::string& path, const Value& state_dict,
                                    const std::map<std::string, std::string>& metadata, const WriteOptions& options) {
  const Dict* dict = state_dict.get<Dict>();
  if (dict == nullptr) return cannot_save(path, "it is no state_dict");
  Prepared prepared;
  std::vector<NamedStorage> tensors;
  for (const auto& [key, value] : *dict) {
    const auto* name = key.get<std::string>();
    const auto* tensor = value.get<at::Tensor>();
    if (name == nullptr || tensor == nullptr) return cannot_save(path, "it is no state_dict");
    StoredTensor stored = describe(*tensor, prepared);
    if (!prepared.error.empty()) return cannot_save(path, prepared.error);
    tensors.push_back({*name, std::move(stored), prepared.storages.back()});
  }
  return save(path, options, [&](ByteSink& file) { return write_safetensors(file, std::move(tensors), metadata); });
}

}  // namespace ferrun::checkpoint
