// A tensor as the file describes it: element type, place in a storage, shape. Free of LibTorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "worker/checkpoint/tree.h"

namespace ferrun::checkpoint {

enum class ElementType : uint8_t {
  kFloat64,
  kFloat32,
  kFloat16,
  kBFloat16,
  kInt64,
  kInt32,
  kInt16,
  kInt8,
  kUInt8,
  kBool,
  kComplex128,
  kComplex64,
  kUInt16,
  kUInt32,
  kUInt64,
  kFloat8E4M3,
  kFloat8E5M2,
};

struct ElementInfo {
  ElementType type;
  size_t bytes;
  std::string_view dtype;          // torch.<dtype>
  std::string_view storage_class;  // torch.<storage_class>; empty for types younger than the typed storages
};

const ElementInfo& element_info(ElementType type);
std::optional<ElementType> element_of_storage(std::string_view storage_class);
std::optional<ElementType> element_of_dtype(std::string_view dtype);

inline constexpr size_t kMaxDimensions = 64;

struct StoredTensor {
  ElementType type = ElementType::kFloat32;
  std::string storage_key;       // the record data/<key>
  uint64_t storage_bytes = 0;    // length of the whole storage, which other tensors may share
  int64_t storage_offset = 0;    // in elements
  std::vector<int64_t> sizes;    // not negative
  std::vector<int64_t> strides;  // in elements, not negative, as many as sizes
  // PyTorch's bits of a lazy view: the elements are the stored ones' conjugates, or their negatives.
  bool conjugate = false;
  bool negative = false;
};

using StoredTree = Tree<StoredTensor>;

// Empty when every element of `tensor` lies inside its storage, else what is wrong. Total for any numbers.
std::string check_layout(const StoredTensor& tensor);

}  // namespace ferrun::checkpoint
