#include "worker/checkpoint/element_types.h"

#include <array>
#include <utility>

namespace ferrun::checkpoint {
namespace {

using c10::ScalarType;

// In the order of ElementType.
constexpr std::array<std::pair<ElementType, ScalarType>, 17> kTypes{{
    {ElementType::kFloat64, ScalarType::Double},
    {ElementType::kFloat32, ScalarType::Float},
    {ElementType::kFloat16, ScalarType::Half},
    {ElementType::kBFloat16, ScalarType::BFloat16},
    {ElementType::kInt64, ScalarType::Long},
    {ElementType::kInt32, ScalarType::Int},
    {ElementType::kInt16, ScalarType::Short},
    {ElementType::kInt8, ScalarType::Char},
    {ElementType::kUInt8, ScalarType::Byte},
    {ElementType::kBool, ScalarType::Bool},
    {ElementType::kComplex128, ScalarType::ComplexDouble},
    {ElementType::kComplex64, ScalarType::ComplexFloat},
    {ElementType::kUInt16, ScalarType::UInt16},
    {ElementType::kUInt32, ScalarType::UInt32},
    {ElementType::kUInt64, ScalarType::UInt64},
    {ElementType::kFloat8E4M3, ScalarType::Float8_e4m3fn},
    {ElementType::kFloat8E5M2, ScalarType::Float8_e5m2},
}};

}  // namespace

ScalarType to_scalar_type(ElementType type) { return kTypes[static_cast<size_t>(type)].second; }

std::optional<ElementType> to_element_type(ScalarType type) {
  for (const auto& [element, scalar] : kTypes) {
    if (scalar == type) return element;
  }
  return std::nullopt;
}

}  // namespace ferrun::checkpoint
