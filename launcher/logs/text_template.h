// Python's string.Template.safe_substitute, which torchrun applies to prefixes and arguments. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ferrun {

struct TemplateValue {
  std::string_view name;
  std::string_view value;
};

// "$name" and "${name}" become the value, "$$" becomes "$"; every other "$" stays as it is.
std::string safe_substitute(std::string_view text, std::span<const TemplateValue> values);

}  // namespace ferrun
