// What a PyTorch checkpoint holds, as a tree of plain values and tensors: the common tongue of reader and writer.
#pragma once

#include <ATen/core/Tensor.h>

#include "worker/checkpoint/tree.h"

namespace ferrun::checkpoint {

using Value = Tree<at::Tensor>;
using List = Value::List;
using Tuple = Value::Tuple;
using Dict = Value::Dict;

}  // namespace ferrun::checkpoint
