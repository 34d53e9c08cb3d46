#include "launcher/hosts/host_order.h"

#include <algorithm>
#include <utility>

#include "launcher/config/values.h"

namespace ferrun {
namespace {

constexpr std::string_view kHeader = "FERRUN HOST ORDER ";
constexpr std::string_view kVersion = "1";
constexpr size_t kLongestHeader = 64;
// Above the most that Linux passes to a program by far; a stranger's gigabyte is not kept.
constexpr long kMostBytes = 64L << 20;

void append_field(std::string& text, std::string_view field) {
  text += field;
  text += '\0';
}

Error no_order(const std::string& why) {
  return Error{ErrorKind::kUser,
               "'ferrun host-agent' is started by ferrun --hosts, and takes its order from it: " + why};
}

Result<HostOrder> decode(std::string_view body) {
  std::vector<std::string> fields;
  while (!body.empty()) {
    const size_t end = body.find('\0');
    if (end == std::string_view::npos) return no_order("the last word has no end");
    fields.emplace_back(body.substr(0, end));
    body.remove_prefix(end + 1);
  }
  const auto count = fields.size() >= 2 ? parse_integer(fields[1]) : std::nullopt;
  if (!count || *count < 0 || static_cast<size_t>(*count) > fields.size() - 2)
    return no_order("the words do not add up");
  HostOrder order;
  order.folder = std::move(fields[0]);
  const auto arguments = fields.begin() + 2, variables = arguments + *count;
  order.arguments.assign(std::make_move_iterator(arguments), std::make_move_iterator(variables));
  for (auto variable = variables; variable != fields.end(); ++variable) {
    const size_t equals = variable->find('=');
    if (equals == std::string::npos || equals == 0) return no_order("a variable has no name");
    order.environment.set(variable->substr(0, equals), variable->substr(equals + 1));
  }
  return order;
}

}  // namespace

std::string encode_host_order(const HostOrder& order) {
  std::string body;
  append_field(body, order.folder);
  append_field(body, std::to_string(order.arguments.size()));
  for (const std::string& argument : order.arguments) append_field(body, argument);
  for (const std::string& variable : order.environment.to_strings()) append_field(body, variable);
  return std::string(kHeader) + std::string(kVersion) + " " + std::to_string(body.size()) + "\n" + body;
}

Result<std::optional<HostOrder>> HostOrderReader::feed(std::string_view bytes) {
  held_ += bytes;
  const size_t end = held_.find('\n');
  const std::string_view start = std::string_view(held_).substr(0, std::min(held_.size(), kHeader.size()));
  if (!kHeader.starts_with(start)) return no_order("what came is none");
  if (end == std::string::npos) {
    if (held_.size() > kLongestHeader) return no_order("what came is none");
    return std::optional<HostOrder>();
  }
  const std::vector<std::string> words =
      split_list(std::string_view(held_).substr(kHeader.size(), end - kHeader.size()), ' ');
  if (words.front() != kVersion) return no_order("it is of another version of ferrun; all hosts need the same");
  const std::optional<long> size = words.size() == 2 ? parse_integer(words[1]) : std::nullopt;
  if (!size || *size < 0 || *size > kMostBytes) return no_order("its size makes no sense");
  if (held_.size() - end - 1 < static_cast<size_t>(*size)) return std::optional<HostOrder>();
  Result<HostOrder> order = decode(std::string_view(held_).substr(end + 1, static_cast<size_t>(*size)));
  if (!order) return order.error();
  held_.erase(0, end + 1 + static_cast<size_t>(*size));
  return std::optional<HostOrder>(std::move(*order));
}

}  // namespace ferrun
