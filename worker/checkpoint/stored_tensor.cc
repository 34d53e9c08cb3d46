#include "worker/checkpoint/stored_tensor.h"

#include <array>

namespace ferrun::checkpoint {
namespace {

// In the order of ElementType.
constexpr std::array<ElementInfo, 17> kElements{{
    {ElementType::kFloat64, 8, "float64", "DoubleStorage"},
    {ElementType::kFloat32, 4, "float32", "FloatStorage"},
    {ElementType::kFloat16, 2, "float16", "HalfStorage"},
    {ElementType::kBFloat16, 2, "bfloat16", "BFloat16Storage"},
    {ElementType::kInt64, 8, "int64", "LongStorage"},
    {ElementType::kInt32, 4, "int32", "IntStorage"},
    {ElementType::kInt16, 2, "int16", "ShortStorage"},
    {ElementType::kInt8, 1, "int8", "CharStorage"},
    {ElementType::kUInt8, 1, "uint8", "ByteStorage"},
    {ElementType::kBool, 1, "bool", "BoolStorage"},
    {ElementType::kComplex128, 16, "complex128", "ComplexDoubleStorage"},
    {ElementType::kComplex64, 8, "complex64", "ComplexFloatStorage"},
    {ElementType::kUInt16, 2, "uint16", ""},
    {ElementType::kUInt32, 4, "uint32", ""},
    {ElementType::kUInt64, 8, "uint64", ""},
    {ElementType::kFloat8E4M3, 1, "float8_e4m3fn", ""},
    {ElementType::kFloat8E5M2, 1, "float8_e5m2", ""},
}};

}  // namespace

const ElementInfo& element_info(ElementType type) { return kElements[static_cast<size_t>(type)]; }

std::optional<ElementType> element_of_storage(std::string_view storage_class) {
  if (storage_class.empty()) return std::nullopt;
  for (const ElementInfo& info : kElements) {
    if (info.storage_class == storage_class) return info.type;
  }
  return std::nullopt;
}

std::optional<ElementType> element_of_dtype(std::string_view dtype) {
  for (const ElementInfo& info : kElements) {
    if (info.dtype == dtype) return info.type;
  }
  return std::nullopt;
}

std::string check_layout(const StoredTensor& tensor) {
  if (tensor.sizes.size() != tensor.strides.size()) return "a tensor has a different number of sizes and strides";
  if (tensor.sizes.size() > kMaxDimensions) return "a tensor has more than 64 dimensions";
  if (tensor.storage_offset < 0) return "a tensor begins before its storage";
  bool empty = false;
  int64_t elements = 1;
  for (int64_t size : tensor.sizes) {
    if (size < 0) return "a tensor has a negative size";
    empty = empty || size == 0;
    // Even an empty tensor's other sizes may be multiplied by those who use it.
    if (size > 0 && __builtin_mul_overflow(elements, size, &elements)) return "a tensor has too many elements";
  }
  int64_t last = tensor.storage_offset;
  for (size_t i = 0; i < tensor.sizes.size(); ++i) {
    int64_t reach = 0;
    if (tensor.strides[i] < 0) return "a tensor has a negative stride";
    if (tensor.sizes[i] == 0) continue;
    if (__builtin_mul_overflow(tensor.sizes[i] - 1, tensor.strides[i], &reach) ||
        __builtin_add_overflow(last, reach, &last)) {
      return "a tensor reaches beyond its storage";
    }
  }
  const uint64_t capacity = tensor.storage_bytes / element_info(tensor.type).bytes;
  if (empty ? static_cast<uint64_t>(tensor.storage_offset) > capacity : static_cast<uint64_t>(last) >= capacity) {
    return "a tensor reaches beyond its storage";
  }
  return {};
}

}  // namespace ferrun::checkpoint
