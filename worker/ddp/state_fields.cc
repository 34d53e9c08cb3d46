#include "worker/ddp/state_fields.h"

#include <ATen/ops/empty_like.h>

#include <cmath>

namespace ferrun::ddp {
namespace {

constexpr double kExactInDouble = 9007199254740992.0;  // 2^53

}  // namespace

using checkpoint::List;
using checkpoint::Tuple;
using checkpoint::Value;

std::optional<double> number(const Value* value) {
  if (value == nullptr) return std::nullopt;
  if (const double* real = value->get<double>()) return *real;
  if (const int64_t* whole = value->get<int64_t>()) return static_cast<double>(*whole);
  const at::Tensor* tensor = value->get<at::Tensor>();
  if (tensor != nullptr && tensor->numel() == 1) return tensor->to(at::kDouble).item<double>();
  return std::nullopt;
}

std::optional<double> number(const Value& dict, const std::string& key) { return number(dict.find(key)); }

std::optional<double> only_number(const Value& dict, const std::string& key) {
  const List* list = items(dict.find(key));
  return list != nullptr && list->size() == 1 ? number(&list->front()) : std::nullopt;
}

std::optional<int64_t> integer(const Value& dict, const std::string& key) {
  const Value* value = dict.find(key);
  if (value == nullptr) return std::nullopt;
  if (const int64_t* whole = value->get<int64_t>()) return *whole;
  const double* real = value->get<double>();
  if (real == nullptr || std::trunc(*real) != *real || std::abs(*real) > kExactInDouble) return std::nullopt;
  return static_cast<int64_t>(*real);
}

bool is_true(const Value& dict, const std::string& key) {
  const Value* value = dict.find(key);
  const bool* flag = value == nullptr ? nullptr : value->get<bool>();
  return flag != nullptr && *flag;
}

const List* items(const Value* value) {
  if (value == nullptr) return nullptr;
  if (const Tuple* tuple = value->get<Tuple>()) return &tuple->items;
  return value->get<List>();
}

Result<at::Tensor> state_tensor(const Value& entry, const std::string& key, size_t index, const at::Tensor& parameter) {
  const Value* value = entry.find(key);
  const at::Tensor* tensor = value == nullptr ? nullptr : value->get<at::Tensor>();
  const std::string name = "parameter " + std::to_string(index);
  if (tensor == nullptr) return Error{ErrorKind::kUser, name + " has no " + key};
  if (tensor->sizes() != parameter.sizes()) {
    return Error{ErrorKind::kUser, name + "'s " + key + " has another shape than the parameter"};
  }
  return at::empty_like(parameter, parameter.options().requires_grad(false)).copy_(*tensor);
}

}  // namespace ferrun::ddp
