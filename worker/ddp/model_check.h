// Whether a module is what DistributedDataParallel can train, is the same on all ranks, and is still the one that it
// was made for. Where it is not, gradients would stay on a rank, or be averaged with those of another parameter,
// without a word.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <memory>
#include <vector>

#include "worker/ddp/process_group.h"

namespace ferrun::ddp {

// Throws std::invalid_argument where no parameter requires gradients, one is the result of an operation, or elements
// lie in each other's memory.
void check_trainable(const torch::nn::Module& module);

// A collective: compares names, types, shapes and which parameters require gradients with rank 0's. Throws
// std::runtime_error on a rank that differs.
void check_same_model(const torch::nn::Module& module, ProcessGroup& group);

// Thread rule: the module's.
class KnownParameters {
 public:
  // Once the Reducer's hooks are there. `types_change`: by mixed precision, in each step.
  KnownParameters(const torch::nn::Module& module, bool types_change);

  // Throws std::runtime_error that names a parameter which was added, replaced, converted or thawed since.
  void check() const;

  // Those that the module has now, each once; `at_first` where it cannot be asked any more.
  std::vector<at::Tensor> buffers(const std::vector<at::Tensor>& at_first) const;

 private:
  struct Known {
    const void* tensor;
    const void* accumulator;  // the graph's node of its gradient, which has the hook; null: none is wanted
  };

  std::shared_ptr<const torch::nn::Module> module_;  // null where it has another kind of owner
  bool types_change_ = false;
  std::vector<Known> known_;
};

// Which of the parameters are the weights of an Embedding or EmbeddingBag with sparse gradients.
std::vector<bool> sparse_gradients(const torch::nn::Module& module, const std::vector<at::Tensor>& parameters);

}  // namespace ferrun::ddp
