// Runs a function as the ranks of one job: real processes, forked, that meet at a real TCPStore on a free port.
// Usable as long as the test program itself has started no thread (it only forks and waits).
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "worker/ddp/group_address.h"

namespace ferrun::testing {

class RankHarness {
 public:
  // Starts the store in a process of its own.
  RankHarness();
  ~RankHarness();
  RankHarness(const RankHarness&) = delete;
  RankHarness& operator=(const RankHarness&) = delete;

  // The body of a rank; what it returns (empty: success) comes back in `outcomes`. An exception's text counts as well.
  using Body = std::function<std::string(const ddp::GroupAddress&)>;
  // For a body that does not return: what it tells is the outcome, or its beginning.
  using Tell = std::function<void(const std::string&)>;
  using TellingBody = std::function<std::string(const ddp::GroupAddress&, const Tell&)>;

  ddp::GroupAddress address(int rank, int world_size) const;
  // Forks one rank.
  void start(int rank, int world_size, const TellingBody& body);
  void start(int rank, int world_size, const Body& body) {
    start(rank, world_size, [&](const ddp::GroupAddress& address, const Tell&) { return body(address); });
  }
  pid_t pid(int rank) const { return ranks_.at(static_cast<size_t>(rank)).pid; }
  // Waits until the rank has ended and returns its outcome; "killed by signal N" when it was.
  std::string outcome(int rank);

  // All ranks of a world at once; their outcomes by rank.
  std::vector<std::string> run(int world_size, const Body& body);

 private:
  struct Child {
    pid_t pid = -1;
    int read_end = -1;
  };
  uint16_t port_ = 0;
  Child store_;
  std::vector<Child> ranks_;
};

}  // namespace ferrun::testing
