// Limits that several parts have to agree on. Pure.
#pragma once

namespace ferrun {

// Workers of one node. More processes than any machine runs: a slip of the finger is caught before it fills a process
// table, and a peer that says more is refused.
inline constexpr int kMostWorkersOfNode = 1 << 16;

}  // namespace ferrun
