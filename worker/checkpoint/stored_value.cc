#include "worker/checkpoint/stored_value.h"

#include <string>

#include "worker/checkpoint/element_types.h"

namespace ferrun::checkpoint {

Result<StoredValue> store(const Value& value) {
  StoredValue stored;
  bool sound = true;
  stored.tree = map_tensors<StoredTensor>(value, [&](const at::Tensor& tensor) -> StoredTensor {
    const auto type = tensor.defined() ? to_element_type(tensor.scalar_type()) : std::nullopt;
    if (!type || tensor.layout() != c10::kStrided) {
      sound = false;
      return {};
    }
    const at::Tensor plain = tensor.detach().cpu().contiguous();
    const std::string key = std::to_string(stored.storages.size());
    stored.kept.push_back(plain);
    stored.storages.emplace_back(static_cast<const uint8_t*>(plain.const_data_ptr()), plain.nbytes());
    return {*type, key, plain.nbytes(), 0, plain.sizes().vec(), plain.strides().vec()};
  });
  if (!sound) return Error{ErrorKind::kInternal, "it holds a tensor of a kind that checkpoints cannot store"};
  return stored;
}

}  // namespace ferrun::checkpoint
