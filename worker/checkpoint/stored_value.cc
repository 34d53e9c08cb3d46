#include "worker/checkpoint/stored_value.h"

#include <c10/util/StringUtil.h>

#include <string>

#include "worker/checkpoint/element_types.h"

namespace ferrun::checkpoint {

namespace {

std::string kind_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return "an undefined one";
  if (tensor.is_meta()) return "on the device meta, without data";
  return c10::str(tensor.scalar_type(), ", ", tensor.layout());
}

}  // namespace

Result<StoredValue> store(const Value& value) {
  StoredValue stored;
  std::string unsound;
  stored.tree = map_tensors<StoredTensor>(value, [&](const at::Tensor& tensor) -> StoredTensor {
    const auto type = tensor.defined() ? to_element_type(tensor.scalar_type()) : std::nullopt;
    if (!type || tensor.layout() != c10::kStrided || tensor.is_meta()) {
      if (unsound.empty()) unsound = kind_of(tensor);
      return {};
    }
    const at::Tensor plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous();
    const std::string key = std::to_string(stored.storages.size());
    stored.kept.push_back(plain);
    stored.storages.emplace_back(static_cast<const uint8_t*>(plain.const_data_ptr()), plain.nbytes());
    return {*type, key, plain.nbytes(), 0, plain.sizes().vec(), plain.strides().vec(), false, false};
  });
  if (!unsound.empty()) {
    return Error{ErrorKind::kUser, "it holds a tensor of a kind that checkpoints cannot store: " + unsound};
  }
  return stored;
}

}  // namespace ferrun::checkpoint
