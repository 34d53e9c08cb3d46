#include "launcher/config/coordinator_job.h"

#include <utility>

namespace ferrun {

Result<CoordinatorJob> make_coordinator_job(const CommandLine& line, const HostFacts& facts) {
  if (line.options.value("rdzv-backend").text == "etcd") {
    return Error{ErrorKind::kUsage,
                 "with --rdzv-backend=etcd one of the agents coordinates the job: ferrun coordinator "
                 "has nothing to do"};
  }
  for (const char* needed : {"nnodes", "rdzv-endpoint", "state-file"}) {
    if (line.options.value(needed).text.empty() || line.options.given(needed) == nullptr) {
      return Error{ErrorKind::kUsage, std::string("ferrun coordinator needs --") + needed};
    }
  }
  const RawValue nodes = line.options.value("nnodes");
  const Result<NodeRange> range = parse_node_range(nodes.text);
  if (!range) return Error{ErrorKind::kUsage, nodes.origin + "=" + nodes.text + ": " + range.error().message};
  Result<RendezvousConfig> rendezvous = read_rendezvous(line.options, range.value(), facts);
  if (!rendezvous) return rendezvous.error();
  return CoordinatorJob{std::move(*rendezvous), make_launch_id(facts), log_level_of(line.options, facts.environment)};
}

}  // namespace ferrun
