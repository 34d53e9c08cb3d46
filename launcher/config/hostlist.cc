#include "launcher/config/hostlist.h"

#include <algorithm>
#include <optional>

#include "launcher/config/values.h"

namespace ferrun {
namespace {

// More than any cluster has: a list like n[1-999999999] takes no memory before it is refused.
constexpr size_t kMostHosts = 1'000'000;
constexpr size_t kMostDigits = 18;

bool all_digits(std::string_view text) {
  return !text.empty() && text.size() <= kMostDigits && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::optional<long> number(std::string_view text) { return all_digits(text) ? parse_integer(text) : std::nullopt; }

std::string padded(long value, size_t width) {
  std::string digits = std::to_string(value);
  return digits.size() < width ? std::string(width - digits.size(), '0') + digits : digits;
}

// The numbers of "001-003,7", as they stand in the names.
Result<std::vector<std::string>> expand_bracket(std::string_view inside) {
  std::vector<std::string> found;
  for (const std::string& part : split_list(inside, ',')) {
    const size_t dash = part.find('-');
    const std::string first = part.substr(0, dash);
    const std::optional<long> low = number(first);
    const std::optional<long> high = dash == std::string::npos ? low : number(part.substr(dash + 1));
    if (!low || !high || *high < *low) return usage_error("'" + part + "' is no range of numbers");
    if (static_cast<size_t>(*high - *low) >= kMostHosts - std::min(found.size(), kMostHosts)) {
      return usage_error("it names more than " + std::to_string(kMostHosts) + " hosts");
    }
    for (long value = *low; value <= *high; ++value) found.push_back(padded(value, first.size()));
  }
  return found;
}

// At commas outside of brackets.
std::vector<std::string_view> split_names(std::string_view text) {
  std::vector<std::string_view> names;
  size_t begin = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '[') inside = true;
    if (text[at] == ']') inside = false;
    if (text[at] != ',' || inside) continue;
    names.push_back(text.substr(begin, at - begin));
    begin = at + 1;
  }
  names.push_back(text.substr(begin));
  return names;
}

Result<std::vector<std::string>> expand_name(std::string_view name) {
  std::vector<std::string> found = {""};
  while (!name.empty()) {
    const size_t open = name.find('[');
    const std::string_view plain = name.substr(0, open);
    if (plain.find(']') != std::string_view::npos) return usage_error("a ']' without its '['");
    for (std::string& host : found) host += plain;
    if (open == std::string_view::npos) {
      if (found.size() > 1) return usage_error("text behind the last bracket");
      break;
    }
    const size_t close = name.find(']', open);
    if (close == std::string_view::npos) return usage_error("a '[' without its ']'");
    const Result<std::vector<std::string>> numbers = expand_bracket(name.substr(open + 1, close - open - 1));
    if (!numbers) return numbers.error();
    if (numbers->size() > kMostHosts / found.size()) {
      return usage_error("it names more than " + std::to_string(kMostHosts) + " hosts");
    }
    std::vector<std::string> longer;
    for (const std::string& host : found) {
      for (const std::string& digits : *numbers) longer.push_back(host + digits);
    }
    found = std::move(longer);
    name.remove_prefix(close + 1);
  }
  return found;
}

}  // namespace

Result<std::vector<std::string>> expand_hostlist(std::string_view text) {
  std::vector<std::string> hosts;
  for (const std::string_view name : split_names(text)) {
    Result<std::vector<std::string>> expanded = expand_name(name);
    if (!expanded) return expanded.error();
    if (hosts.size() + expanded->size() > kMostHosts) {
      return usage_error("it names more than " + std::to_string(kMostHosts) + " hosts");
    }
    for (std::string& host : *expanded) {
      if (host.empty()) return usage_error("it names a host without a name");
      hosts.push_back(std::move(host));
    }
  }
  return hosts;
}

Result<std::vector<int>> expand_tasks_per_node(std::string_view text) {
  std::vector<int> tasks;
  for (const std::string& part : split_list(text, ',')) {
    const size_t open = part.find("(x");
    const std::optional<long> count = number(part.substr(0, open));
    std::optional<long> times = 1;
    if (open != std::string::npos) {
      times = part.ends_with(')') ? number(part.substr(open + 2, part.size() - open - 3)) : std::nullopt;
    }
    if (!count || !times || *count > 1'000'000 || *times < 1 ||
        static_cast<size_t>(*times) > kMostHosts - std::min(tasks.size(), kMostHosts)) {
      return usage_error("expected counts as 2(x3),1");
    }
    tasks.insert(tasks.end(), static_cast<size_t>(*times), static_cast<int>(*count));
  }
  return tasks;
}

}  // namespace ferrun
