#include "launcher/config/descriptors.h"

namespace ferrun {
namespace {

constexpr size_t kOwn = 48;
constexpr size_t kStorePerWorker = 4;               // connections
constexpr size_t kPerWorker = 1 + kStorePerWorker;  // and its pidfd
constexpr size_t kPerHost = 4;
constexpr size_t kPerStream = 2;  // the pipe's end and the file

}  // namespace

size_t descriptors_needed(const JobConfig& config) {
  size_t needed = kOwn;
  for (const auto* texts : {&config.output.line_filters.out, &config.output.line_filters.err}) {
    needed += texts->empty() ? 0 : 1;
  }
  for (size_t rank = 0; rank < static_cast<size_t>(config.workers); ++rank) {
    const StreamSet redirected = config.output.redirects[rank];
    const StreamSet teed = config.output.tee[rank];
    const size_t streams = size_t{redirected.out || teed.out} + size_t{redirected.err || teed.err};
    needed += kPerWorker + streams * kPerStream;
  }
  return needed;
}

size_t descriptors_for_workers(int workers) {
  return kOwn + static_cast<size_t>(workers) * (kPerWorker + 2 * kPerStream);
}

size_t descriptors_for_all_nodes(int max_nodes, int workers_per_node) {
  const size_t nodes = static_cast<size_t>(max_nodes);
  return nodes * (1 + static_cast<size_t>(workers_per_node) * kStorePerWorker);
}

size_t descriptors_for_hosts(size_t hosts) { return kOwn + 2 * kPerHost * hosts; }

}  // namespace ferrun
