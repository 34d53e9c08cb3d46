#include "worker/checkpoint/writer.h"

#include <cstdint>
#include <vector>

#include "worker/checkpoint/archive_writer.h"
#include "worker/checkpoint/atomic_file.h"
#include "worker/checkpoint/element_types.h"
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

}  // namespace

Status write_atomically(const std::string& path, const Value& value, const WriteOptions& options) {
  Prepared prepared;
  prepared.tree = map_tensors<StoredTensor>(value, [&](const at::Tensor& t) { return describe(t, prepared); });
  if (!prepared.error.empty()) {
    return Error{ErrorKind::kInternal, "cannot save " + path + ": " + prepared.error};
  }
  const FileSizeSignalGuard guard;
  AtomicFile file(path, options.files == nullptr ? machine_file_system() : *options.files);
  if (auto opened = file.open(); !opened) return opened;
  if (auto wrote = write_archive(file, prepared.tree, prepared.storages); !wrote) return wrote;
  return file.commit(options.previous_path);
}

}  // namespace ferrun::checkpoint
