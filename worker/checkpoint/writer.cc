#include "worker/checkpoint/writer.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "worker/checkpoint/archive_writer.h"
#include "worker/checkpoint/atomic_file.h"
#include "worker/checkpoint/safetensors.h"
#include "worker/checkpoint/signal_guard.h"
#include "worker/checkpoint/stored_value.h"

namespace ferrun::checkpoint {
namespace {

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
  Result<StoredValue> stored = store(value);
  if (!stored) return cannot_save(path, stored.error().message);
  return save(path, options, [&](ByteSink& file) { return write_archive(file, stored->tree, stored->storages); });
}

Status write_safetensors_atomically(const std::string& path, const Value& state_dict,
                                    const std::map<std::string, std::string>& metadata, const WriteOptions& options) {
  if (state_dict.get<Dict>() == nullptr) return cannot_save(path, "it is no state_dict");
  Result<StoredValue> stored = store(state_dict);
  if (!stored) return cannot_save(path, stored.error().message);
  std::vector<NamedStorage> tensors;
  for (const auto& [key, value] : *stored->tree.get<StoredTree::Dict>()) {
    const auto* name = key.get<std::string>();
    const auto* tensor = value.get<StoredTensor>();
    if (name == nullptr || tensor == nullptr) return cannot_save(path, "it is no state_dict");
    tensors.push_back({*name, *tensor, stored->storages[tensors.size()]});
  }
  return save(path, options, [&](ByteSink& file) { return write_safetensors(file, std::move(tensors), metadata); });
}

}  // namespace ferrun::checkpoint
