#include "launcher/logs/text_template.h"

#include <algorithm>
#include <cctype>

namespace ferrun {
namespace {

bool is_name_character(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// The name behind a "$" and the length of the whole reference; an empty name when there is none.
struct Reference {
  std::string_view name;
  size_t length = 1;
};

Reference reference_at(std::string_view text) {
  const bool braced = text.size() > 1 && text[1] == '{';
  const size_t begin = braced ? 2 : 1;
  size_t end = begin;
  while (end < text.size() && is_name_character(text[end])) ++end;
  if (end == begin) return {};
  if (!braced) return {text.substr(begin, end - begin), end};
  if (end == text.size() || text[end] != '}') return {};
  return {text.substr(begin, end - begin), end + 1};
}

}  // namespace

std::string safe_substitute(std::string_view text, std::span<const TemplateValue> values) {
  std::string out;
  while (!text.empty()) {
    const size_t dollar = std::min(text.find('$'), text.size());
    out += text.substr(0, dollar);
    text.remove_prefix(dollar);
    if (text.empty()) break;
    if (text.starts_with("$$")) {
      out += '$';
      text.remove_prefix(2);
      continue;
    }
    const Reference reference = reference_at(text);
    const auto found = std::ranges::find(values, reference.name, &TemplateValue::name);
    out += found == values.end() || reference.name.empty() ? text.substr(0, reference.length) : found->value;
    text.remove_prefix(reference.length);
  }
  return out;
}

}  // namespace ferrun
