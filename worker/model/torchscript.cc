#include "worker/model/torchscript.h"

#include <torch/csrc/jit/api/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

#include <sstream>
#include <unordered_map>

#include "worker/model/blocks.h"

namespace ferrun::model {
namespace {

namespace jit = torch::jit;

// The forward methods in TorchScript's Python. Calls name forward, as modules made in C++ have no __call__; parts whose
// names are numbers are reached by getattr.

std::string list_of_two(int64_t number) { return "[" + std::to_string(number) + ", " + std::to_string(number) + "]"; }

std::string part(const std::string& owner, size_t position) {
  return "getattr(" + owner + ", \"" + std::to_string(position) + "\")";
}

std::string source_of(const ConvImpl& block) {
  const auto children = block.named_children();
  const auto& conv = children["conv"]->as<torch::nn::Conv2dImpl>()->options;
  std::ostringstream eps;
  eps.precision(17);
  eps << std::scientific << children["bn"]->as<torch::nn::BatchNorm2dImpl>()->options.eps();
  return "def forward(self, x):\n"
         "  y = torch.conv2d(x, self.conv.weight, None, " +
         list_of_two(conv.stride()->at(0)) + ", " + list_of_two(conv.kernel_size()->at(0) / 2) + ", [1, 1], " +
         std::to_string(conv.groups()) +
         ")\n"
         "  y = torch.batch_norm(y, self.bn.weight, self.bn.bias, self.bn.running_mean, self.bn.running_var, False, "
         "0.1, " +
         eps.str() + ", True)\n" + (block.activates() ? "  return torch.silu(y)\n" : "  return y\n");
}

std::string source_of(const BottleneckImpl&) {
  return "def forward(self, x):\n"
         "  return x + self.cv2.forward(self.cv1.forward(x))\n";
}

std::string source_of(const C3k2Impl&) {
  return "def forward(self, x):\n"
         "  wide = self.cv1.forward(x)\n"
         "  deep = " +
         part("self.m", 0) +
         ".forward(torch.chunk(wide, 2, 1)[1])\n"
         "  return self.cv2.forward(torch.cat([wide, deep], 1))\n";
}

std::string source_of(const AreaAttentionImpl& block) {
  const std::string area = std::to_string(block.area()), heads = std::to_string(block.heads());
  const std::string channels = std::to_string(AreaAttentionImpl::kHeadChannels);
  return "def forward(self, x):\n"
         "  n, c, h, w = x.size(0), x.size(1), x.size(2), x.size(3)\n"
         "  tokens = torch.transpose(torch.flatten(self.qkv.forward(x), 2), 1, 2)\n"
         "  tokens = torch.reshape(tokens, [n * " +
         area + ", h * w // " + area + ", " + heads + ", 3 * " + channels +
         "])\n"
         "  parts = torch.split(torch.transpose(tokens, 1, 2), " +
         channels +
         ", -1)\n"
         "  attended = torch.scaled_dot_product_attention(parts[0], parts[1], parts[2])\n"
         "  attended = torch.permute(torch.reshape(torch.transpose(attended, 1, 2), [n, h, w, c]), [0, 3, 1, 2])\n"
         "  values = torch.permute(torch.reshape(torch.transpose(parts[2], 1, 2), [n, h, w, c]), [0, 3, 1, 2])\n"
         "  return self.proj.forward(attended + self.pe.forward(values))\n";
}

std::string source_of(const ABlockImpl&) {
  return "def forward(self, x):\n"
         "  x = x + self.attn.forward(x)\n"
         "  return x + " +
         part("self.mlp", 1) + ".forward(" + part("self.mlp", 0) + ".forward(x))\n";
}

std::string source_of(const A2C2fImpl& block) {
  std::string source = "def forward(self, x):\n  y0 = self.cv1.forward(x)\n";
  std::string pieces = "y0";
  const auto stages = block.named_children()["m"]->children();
  for (size_t stage = 0; stage < stages.size(); ++stage) {
    const std::string y = "y" + std::to_string(stage + 1);
    std::string value = "y" + std::to_string(stage);
    for (size_t i = 0; i < stages[stage]->children().size(); ++i) {
      value = part(part("self.m", stage), i) + ".forward(" + value + ")";
    }
    source += "  " + y + " = " + value + "\n";
    pieces += ", " + y;
  }
  return source + "  return self.cv2.forward(torch.cat([" + pieces + "], 1))\n";
}

std::string source_of(const EmotionNetImpl& model) {
  std::string source = "def forward(self, x):\n";
  const size_t levels = model.named_children()["backbone"]->children().size();
  for (size_t i = 0; i < levels; ++i) source += "  x = " + part("self.backbone", i) + ".forward(x)\n";
  return source +
         "  x = torch.flatten(torch.adaptive_avg_pool2d(self.classify.conv.forward(x), [1, 1]), 1)\n"
         "  return torch.linear(x, self.classify.linear.weight, self.classify.linear.bias)\n";
}

// Empty for a module that only holds others.
std::string source_of(const torch::nn::Module& module) {
  std::string source;
  const auto try_kind = [&]<typename Kind>(const Kind* kind) {
    if (kind != nullptr) source = source_of(*kind);
  };
  try_kind(module.as<ConvImpl>());
  try_kind(module.as<BottleneckImpl>());
  try_kind(module.as<C3k2Impl>());
  try_kind(module.as<AreaAttentionImpl>());
  try_kind(module.as<ABlockImpl>());
  try_kind(module.as<A2C2fImpl>());
  try_kind(module.as<EmotionNetImpl>());
  return source;
}

// The parts first: a method is compiled against what it calls. `path` makes the class's name.
jit::Module script(const torch::nn::Module& module, const std::string& path,
                   const std::shared_ptr<jit::CompilationUnit>& unit) {
  jit::Module scripted(c10::QualifiedName("__torch__." + path), unit);
  scripted.register_attribute("training", c10::BoolType::get(), false);
  const auto copy = [](const at::Tensor& tensor) { return tensor.detach().contiguous(); };
  for (const auto& entry : module.named_parameters(/*recurse=*/false))
    scripted.register_parameter(entry.key(), copy(entry.value()), /*is_buffer=*/false);
  for (const auto& entry : module.named_buffers(/*recurse=*/false))
    scripted.register_buffer(entry.key(), copy(entry.value()));
  for (const auto& child : module.named_children())
    scripted.register_module(child.key(), script(*child.value(), path + "_" + child.key(), unit));
  if (const std::string source = source_of(module); !source.empty()) scripted.define(source);
  return scripted;
}

}  // namespace

std::string torchscript_archive(const EmotionNet& model, const std::map<std::string, std::string>& extra_files) {
  const jit::Module scripted = script(*model, "EmotionNet", std::make_shared<jit::CompilationUnit>());
  std::ostringstream bytes;
  scripted.save(bytes, jit::ExtraFilesMap(extra_files.begin(), extra_files.end()));
  return bytes.str();
}

}  // namespace ferrun::model
