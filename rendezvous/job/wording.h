// Parts of the sentences by which the coordinator explains itself. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "common/duration_text.h"

namespace ferrun {

// "1 node", "2 nodes".
std::string counted(size_t count, std::string_view noun);

// "node1", "node1 and node2", "node1, node2, node3 and 5 more". `total` may be larger than the list.
std::string listed(const std::vector<std::string>& names, size_t total);

// Names that a sentence lists before it counts.
inline constexpr size_t kNamesListed = 3;

// Text of a peer for use within a line: no control characters, at most `most` bytes.
std::string plain_text(std::string_view text, size_t most = 256);

}  // namespace ferrun
