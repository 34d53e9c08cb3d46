#include "launcher/config/values.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>

#include "common/text.h"

namespace ferrun {
namespace {

bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

std::optional<StreamSet> stream_digit(std::string_view text) {
  if (text.size() != 1 || text[0] < '0' || text[0] > '3') return std::nullopt;
  const int bits = text[0] - '0';
  return StreamSet{(bits & 1) != 0, (bits & 2) != 0};
}

}  // namespace

std::vector<std::string> split_list(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::vector<std::string> split_texts(std::string_view list) {
  std::vector<std::string> texts(1);
  for (size_t at = 0; at < list.size(); ++at) {
    if (list[at] != ',') {
      texts.back() += list[at];
    } else if (at + 1 < list.size() && list[at + 1] == ',') {
      texts.back() += ',';
      ++at;
    } else {
      texts.emplace_back();
    }
  }
  return texts;
}

std::optional<long> parse_integer(std::string_view text) {
  text = strip(text);
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  std::string digits;
  for (size_t at = 0; at < text.size(); ++at) {
    const bool between_digits = at > 0 && at + 1 < text.size() && is_digit(text[at - 1]) && is_digit(text[at + 1]);
    if (text[at] == '_' && between_digits) continue;
    digits += text[at];
  }
  long number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return number;
}

Result<int> parse_whole_number(const std::string& text, int least) {
  const std::optional<long> number = parse_integer(text);
  if (!number || *number < least || *number > std::numeric_limits<int>::max()) {
    return usage_error("expected a whole number, " + std::to_string(least) + " or more");
  }
  return static_cast<int>(*number);
}

std::optional<double> parse_decimal(std::string_view text) {
  text = strip(text);
  if (text.starts_with('+')) text.remove_prefix(1);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number)) return std::nullopt;
  return number;
}

std::optional<Duration> parse_seconds(std::string_view text) {
  const std::optional<double> seconds = parse_decimal(text);
  if (!seconds || *seconds < 0 || *seconds > 1e6) return std::nullopt;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(*seconds));
}

std::optional<size_t> parse_size(std::string_view text) {
  text = strip(text);
  int shift = 0;
  if (!text.empty()) {
    const size_t unit = std::string_view("kMG").find(text.back() == 'K' ? 'k' : text.back());
    if (unit != std::string_view::npos) {
      shift = 10 * (static_cast<int>(unit) + 1);
      text.remove_suffix(1);
    }
  }
  const std::optional<long> number = parse_integer(text);
  if (!number || *number < 1 || *number > (1L << 50) >> shift) return std::nullopt;
  return static_cast<size_t>(*number) << shift;
}

Result<NodeRange> parse_node_range(const std::string& text) {
  const std::vector<std::string> parts = split_list(text, ':');
  const std::optional<long> least = parse_integer(parts.front());
  const std::optional<long> most = parse_integer(parts.back());
  if (parts.size() > 2 || !least || !most) return usage_error("expected N or MIN:MAX");
  if (*least < 1 || *least > *most) return usage_error("expected 0 < MIN <= MAX");
  return NodeRange{*least, *most};
}

Result<PortRange> parse_port_range(const std::string& text) {
  const std::vector<std::string> parts = split_list(text, '-');
  const std::optional<long> first = parse_integer(parts.front());
  const std::optional<long> last = parse_integer(parts.back());
  if (parts.size() != 2 || !first || !last || *first < 1 || *first > *last || *last > 65535) {
    return usage_error("expected FIRST-LAST with 0 < FIRST <= LAST < 65536");
  }
  return PortRange{static_cast<uint16_t>(*first), static_cast<uint16_t>(*last)};
}

Result<std::map<std::string, std::string>> parse_key_values(const std::string& text) {
  std::map<std::string, std::string> pairs;
  if (strip(text).empty()) return pairs;
  for (const std::string& item : split_list(text, ',')) {
    const size_t equals = item.find('=');
    const std::string_view key = strip(std::string_view(item).substr(0, equals));
    const std::string_view value =
        equals == std::string::npos ? std::string_view() : strip(std::string_view(item).substr(equals + 1));
    if (key.empty() || value.empty()) return usage_error("expected key=value, but found '" + item + "'");
    pairs.insert_or_assign(std::string(key), std::string(value));
  }
  return pairs;
}

Result<std::vector<StreamSet>> parse_stream_spec(const std::string& text, int ranks) {
  const Error malformed =
      usage_error("expected 0, 1, 2 or 3 (none, stdout, stderr, both), or a list by local rank such as 0:3,1:2");
  if (const std::optional<StreamSet> all = stream_digit(text)) {
    return std::vector<StreamSet>(static_cast<size_t>(ranks), *all);
  }
  std::vector<StreamSet> by_rank(static_cast<size_t>(ranks));
  for (const std::string& item : split_list(text, ',')) {
    const size_t colon = item.find(':');
    if (colon == std::string::npos || colon == 0 || colon > 6) return malformed;
    if (!std::ranges::all_of(item.substr(0, colon), is_digit)) return malformed;
    const std::optional<StreamSet> streams = stream_digit(std::string_view(item).substr(colon + 1));
    if (!streams) return malformed;
    const size_t rank = std::stoul(item.substr(0, colon));
    if (rank < by_rank.size()) by_rank[rank] = *streams;
  }
  return by_rank;
}

Result<std::vector<int>> parse_rank_list(const std::string& text) {
  std::vector<int> ranks;
  if (strip(text).empty()) return ranks;
  for (const std::string& item : split_list(text, ',')) {
    const std::optional<long> rank = parse_integer(item);
    if (!rank || *rank < -1'000'000 || *rank > 1'000'000) return usage_error("expected local ranks as in 0,3");
    ranks.push_back(static_cast<int>(*rank));
  }
  return ranks;
}

std::string shell_word(const std::string& word) {
  const bool plain = !word.empty() && std::ranges::all_of(word, [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("_-./=:,+@%").find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (plain) return word;
  std::string text = "'";
  for (const char c : word) {
    if (c == '\'') {
      text += "'\\''";
    } else {
      text += c;
    }
  }
  return text + "'";
}

}  // namespace ferrun
