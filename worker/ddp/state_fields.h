// Reading what Python wrote into an optimizer's or a schedule's state. Where a number is meant, an integer counts as
// one, and where an integer is meant, a whole float: Python keeps `gamma=1` as the integer that it was given.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/result.h"
#include "worker/checkpoint/value.h"

namespace ferrun::ddp {

// An integer, a float or a tensor of one element; nullopt for everything else and for null.
std::optional<double> number(const checkpoint::Value* value);
std::optional<double> number(const checkpoint::Value& dict, const std::string& key);
// The only item of a list: a value for each parameter group, of which there is one.
std::optional<double> only_number(const checkpoint::Value& dict, const std::string& key);
std::optional<int64_t> integer(const checkpoint::Value& dict, const std::string& key);
bool is_true(const checkpoint::Value& dict, const std::string& key);
// The items of a list or a tuple; null for everything else and for null.
const checkpoint::List* items(const checkpoint::Value* value);
// A copy of the tensor that `entry` holds for the parameter of this index, laid out in memory as the parameter is.
Result<at::Tensor> state_tensor(const checkpoint::Value& entry, const std::string& key, size_t index,
                                const at::Tensor& parameter);

}  // namespace ferrun::ddp
