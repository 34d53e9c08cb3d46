#include "worker/ddp/model_check.h"

#include <ATen/MemoryOverlap.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/nn/modules/embedding.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <unordered_set>

#include "worker/ddp/unique_tensors.h"

namespace ferrun::ddp {
namespace {

// By the modules' own lists: names would have to be put together for each parameter in each step.
template <typename Visit>
void visit_modules(const torch::nn::Module& module, const Visit& visit) {
  visit(module);
  for (const std::shared_ptr<torch::nn::Module>& child : module.children()) visit_modules(*child, visit);
}

template <typename Visit>
void visit_parameters(const torch::nn::Module& module, const Visit& visit) {
  visit_modules(module, [&visit](const torch::nn::Module& one) {
    for (const at::Tensor& parameter : one.parameters(/*recurse=*/false)) visit(parameter);
  });
}

const std::string kParameter = "parameter", kBuffer = "buffer";

const void* accumulator_of(const at::Tensor& parameter) {
  return torch::autograd::impl::try_get_grad_accumulator(parameter).get();
}

std::string name_of(const torch::nn::Module& module, const at::Tensor& parameter) {
  for (const auto& named : module.named_parameters()) {
    if (named.value().is_same(parameter)) return "parameter '" + named.key() + "'";
  }
  return "a parameter";
}

// A line for each parameter and buffer: what it is, its type, its shape, whether it is trained.
using Line = std::tuple<std::string, std::string, std::string, std::string>;

std::vector<Line> lines_of(const torch::nn::Module& module) {
  std::vector<Line> lines;
  const auto add = [&](const std::string& kind, const auto& named_tensors) {
    for (const auto& named : named_tensors) {
      const at::Tensor& tensor = named.value();
      if (!tensor.defined()) continue;
      std::ostringstream shape;
      shape << tensor.sizes();
      lines.emplace_back(kind + " '" + named.key() + "'", c10::toString(tensor.scalar_type()), shape.str(),
                         tensor.requires_grad() ? "trained" : "");
    }
  };
  add(kParameter, module.named_parameters());
  add(kBuffer, module.named_buffers());
  return lines;
}

std::string text_of(const std::vector<Line>& lines) {
  std::string text;
  for (const auto& [name, type, shape, trained] : lines) {
    text += name + "\t" + type + "\t" + shape + "\t" + trained + "\n";
  }
  return text;
}

std::vector<Line> lines_in(const std::string& text) {
  std::vector<Line> lines;
  std::istringstream stream(text);
  for (Line line; std::getline(stream, std::get<0>(line), '\t') && std::getline(stream, std::get<1>(line), '\t') &&
                  std::getline(stream, std::get<2>(line), '\t') && std::getline(stream, std::get<3>(line));) {
    lines.push_back(line);
  }
  return lines;
}

std::string difference(const Line& own, const Line& first) {
  const auto& [name, type, shape, trained] = own;
  const auto& [first_name, first_type, first_shape, first_trained] = first;
  if (name != first_name) return name + " is where rank 0 has " + first_name;
  if (type != first_type) return name + " is of type " + type + ", on rank 0 of " + first_type;
  if (shape != first_shape) {
    return name + " has another shape or layout than on rank 0: " + shape + ", there " + first_shape;
  }
  return name + (trained.empty() ? " requires no gradients, on rank 0 it does" : " requires gradients, on rank 0 not");
}

}  // namespace

void check_trainable(const torch::nn::Module& module) {
  const auto check_memory = [](const std::string& kind, const auto& named) {
    if (!named.value().defined() || at::has_internal_overlap(named.value()) != at::MemOverlap::Yes) return;
    throw std::invalid_argument(kind + " '" + named.key() +
                                "' has several elements in one place of memory (expand): register a copy, clone()");
  };
  bool trains = false;
  for (const auto& named : module.named_parameters()) {
    check_memory(kParameter, named);
    if (!named.value().defined() || !named.value().requires_grad()) continue;
    if (!named.value().is_leaf()) {
      throw std::invalid_argument(
          "parameter '" + named.key() +
          "' is the result of an operation, to which no gradient comes: register detach() of it");
    }
    trains = true;
  }
  for (const auto& named : module.named_buffers()) check_memory(kBuffer, named);
  if (!trains) {
    throw std::invalid_argument(
        "DistributedDataParallel has nothing to do: no parameter of the module requires gradients");
  }
}

void check_same_model(const torch::nn::Module& module, ProcessGroup& group) {
  const std::vector<Line> own = lines_of(module);
  const std::string text = text_of(own), first_text = group.broadcast_bytes(text);
  if (text == first_text) return;
  const std::vector<Line> first = lines_in(first_text);
  const std::string rank = std::to_string(group.rank());
  if (own.size() != first.size()) {
    const auto count = [](const std::vector<Line>& lines) {
      return std::count_if(lines.begin(), lines.end(),
                           [](const Line& line) { return std::get<0>(line).rfind(kParameter, 0) == 0; });
    };
    const auto parameters = count(own), first_parameters = count(first);
    const std::string last =
        parameters == 0 ? ""
                        : ", the last of them" + std::get<0>(own[size_t(parameters) - 1]).substr(kParameter.size());
    throw std::runtime_error("the ranks' models differ: rank " + rank + "'s has " + std::to_string(parameters) +
                             " parameters" + last + ", and " + std::to_string(std::ssize(own) - parameters) +
                             " buffers; rank 0's has " + std::to_string(first_parameters) + " and " +
                             std::to_string(std::ssize(first) - first_parameters));
  }
  const auto [here, there] = std::mismatch(own.begin(), own.end(), first.begin());
  if (here != own.end()) throw std::runtime_error("rank " + rank + ": " + difference(*here, *there));
}

std::vector<bool> sparse_gradients(const torch::nn::Module& module, const std::vector<at::Tensor>& parameters) {
  std::unordered_set<const c10::TensorImpl*> sparse;
  visit_modules(module, [&sparse](const torch::nn::Module& one) {
    if (const auto* const single = one.as<torch::nn::EmbeddingImpl>(); single != nullptr && single->options.sparse()) {
      sparse.insert(single->weight.unsafeGetTensorImpl());
    }
    if (const auto* const bag = one.as<torch::nn::EmbeddingBagImpl>(); bag != nullptr && bag->options.sparse()) {
      sparse.insert(bag->weight.unsafeGetTensorImpl());
    }
  });
  std::vector<bool> found;
  for (const at::Tensor& parameter : parameters) found.push_back(sparse.count(parameter.unsafeGetTensorImpl()) > 0);
  return found;
}

KnownParameters::KnownParameters(const torch::nn::Module& module, bool types_change)
    : module_(module.weak_from_this().lock()), types_change_(types_change) {
  visit_parameters(module, [this](const at::Tensor& parameter) {
    const bool trained = parameter.defined() && parameter.requires_grad();
    known_.push_back({parameter.unsafeGetTensorImpl(), trained ? accumulator_of(parameter) : nullptr});
  });
}

void KnownParameters::check() const {
  if (!module_) return;
  size_t place = 0;
  const auto refuse = [this](const at::Tensor& parameter, const std::string& what) {
    throw std::runtime_error(name_of(*module_, parameter) + " " + what +
                             " since DistributedDataParallel was made, and its gradients would stay on the rank: make "
                             "DistributedDataParallel after such a change");
  };
  visit_parameters(*module_, [&](const at::Tensor& parameter) {
    const Known* const known = place < known_.size() ? &known_[place] : nullptr;
    ++place;
    if (!parameter.defined() || !parameter.requires_grad()) return;
    if (known == nullptr || known->tensor != parameter.unsafeGetTensorImpl()) refuse(parameter, "is new");
    if (known->accumulator == nullptr) refuse(parameter, "requires gradients only");
    if (!types_change_ && known->accumulator != accumulator_of(parameter)) {
      refuse(parameter, "was given another type or device");
    }
  });
}

std::vector<at::Tensor> KnownParameters::buffers(const std::vector<at::Tensor>& at_first) const {
  if (!module_) return at_first;
  std::vector<at::Tensor> found;
  visit_modules(*module_, [&found](const torch::nn::Module& module) {
    const std::vector<at::Tensor> own = module.buffers(/*recurse=*/false);
    found.insert(found.end(), own.begin(), own.end());
  });
  return without_repeats(found);
}

}  // namespace ferrun::ddp
