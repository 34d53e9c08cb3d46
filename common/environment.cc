#include "common/environment.h"

namespace ferrun {

Environment Environment::from_block(const char* const* block) {
  Environment environment;
  for (; block != nullptr && *block != nullptr; ++block) {
    const std::string_view entry(*block);
    const size_t equals = entry.find('=');
    if (equals == std::string_view::npos || equals == 0) continue;
    environment.variables_.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return environment;
}

std::optional<std::string> Environment::get(std::string_view name) const {
  const auto found = variables_.find(name);
  if (found == variables_.end()) return std::nullopt;
  return found->second;
}

std::string Environment::get_or(std::string_view name, std::string_view fallback) const {
  return get(name).value_or(std::string(fallback));
}

void Environment::set(std::string_view name, std::string_view value) {
  variables_.insert_or_assign(std::string(name), std::string(value));
}

void Environment::erase(std::string_view name) {
  const auto found = variables_.find(name);
  if (found != variables_.end()) variables_.erase(found);
}

std::vector<std::string> Environment::to_strings() const {
  std::vector<std::string> block;
  block.reserve(variables_.size());
  for (const auto& [name, value] : variables_) block.push_back(name + "=" + value);
  return block;
}

}  // namespace ferrun
