// The forms that option values come in: numbers, ranges, endpoints, stream specifications. Pure; each parser returns
// a sentence without the option's name ("expected a whole number"), which the caller puts behind it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "common/time.h"

namespace ferrun {

// As Python's int(): surrounding spaces, a sign and single underscores between digits are allowed.
std::optional<long> parse_integer(std::string_view text);
// As that, from `least` to the largest int.
Result<int> parse_whole_number(const std::string& text, int least);
// A finite decimal number, the whole of `text`.
std::optional<double> parse_decimal(std::string_view text);
// A finite decimal number of seconds, 0 to a million.
std::optional<Duration> parse_seconds(std::string_view text);
// Bytes: a whole number, 1 or more, with k, M or G for powers of 1024 behind it.
std::optional<size_t> parse_size(std::string_view text);

struct NodeRange {
  long least = 1;
  long most = 1;
};
// "N" or "MIN:MAX" with 0 < MIN <= MAX.
Result<NodeRange> parse_node_range(const std::string& text);

struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;
  bool given() const { return first != 0; }
  bool operator==(const PortRange&) const = default;
};
// "FIRST-LAST" with 0 < FIRST <= LAST.
Result<PortRange> parse_port_range(const std::string& text);

// "k=v,k=v". Keys and values are stripped; both must be there.
Result<std::map<std::string, std::string>> parse_key_values(const std::string& text);

// Which of a worker's streams.
struct StreamSet {
  bool out = false;
  bool err = false;
};
// One digit for every rank, or "rank:digit,rank:digit"; `ranks` entries come back, a rank that is not named has none.
// Ranks of several digits are an addition to torchrun's form. Ranks that do not exist are ignored.
Result<std::vector<StreamSet>> parse_stream_spec(const std::string& text, int ranks);

// "0,2,5" as a set of ranks. As with torchrun they need not exist: -1 is nobody.
Result<std::vector<int>> parse_rank_list(const std::string& text);

std::vector<std::string> split_list(std::string_view text, char separator);
// "a,b" as two texts, "a,,b" as the one with a comma in it. At least one comes back, which may be empty.
std::vector<std::string> split_texts(std::string_view list);
// A word as a shell would read it back: in quotes where it needs them.
std::string shell_word(const std::string& word);

}  // namespace ferrun
