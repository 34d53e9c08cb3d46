#include "tests/parity/peer_values.h"

#include "worker/checkpoint/reader.h"

namespace ferrun::parity {

using checkpoint::Value;

const Value& entry(const Value& dict, const std::string& key) {
  static const Value nothing;
  const Value* found = dict.find(key);
  EXPECT_NE(found, nullptr) << "no entry " << key;
  return found == nullptr ? nothing : *found;
}

at::Tensor tensor(const Value& dict, const std::string& key) {
  const at::Tensor* found = entry(dict, key).get<at::Tensor>();
  EXPECT_NE(found, nullptr) << key << " is no tensor";
  return found == nullptr ? at::Tensor() : *found;
}

std::vector<at::Tensor> tensors(const Value& dict, const std::string& key) {
  std::vector<at::Tensor> found;
  const checkpoint::List* list = entry(dict, key).get<checkpoint::List>();
  EXPECT_NE(list, nullptr) << key << " is no list";
  if (list == nullptr) return found;
  for (const Value& item : *list) found.push_back(*item.get<at::Tensor>());
  return found;
}

double largest_difference(const at::Tensor& ours, const at::Tensor& theirs) {
  EXPECT_EQ(ours.sizes(), theirs.sizes());
  return ours.sub(theirs).abs().max().item<double>();
}

double relative_difference(const at::Tensor& ours, const at::Tensor& theirs) {
  EXPECT_EQ(ours.sizes(), theirs.sizes());
  const at::Tensor reference = theirs.to(at::kDouble);
  return ours.to(at::kDouble).sub(reference).norm().div(reference.norm().clamp_min(1e-12)).item<double>();
}

Value read_file(const std::filesystem::path& path) {
  auto value = checkpoint::read(path.string());
  EXPECT_TRUE(value.ok()) << value.error().message;
  return value.ok() ? std::move(*value) : Value();
}

}  // namespace ferrun::parity
