// The names of the classes that a checkpoint or an export tells apart, as its writer kept them.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"

namespace ferrun::train {

// In the order of the last layer's outputs, whose number is not compared: `classes` or `class_names` (a list of names),
// `class_to_idx` or `idx_to_class` of Python's trainers and the worker, the first that has names; a JSON list under
// `classes` of safetensors' metadata. Empty when the file does not name them. Failure, without the file's name: a list
// in which not all are names, numbers that do not count from 0.
Result<std::vector<std::string>> class_names(const checkpoint::Value& file);

}  // namespace ferrun::train
