// The hosts that a user names: --hosts and the lines of a host file, in the forms that MPI's launchers read. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace ferrun {

struct HostEntry {
  std::string name;  // as ssh takes it: a name or an address, perhaps with a user, or an alias of its configuration
  std::optional<int> slots;  // workers; none: not said
  bool operator==(const HostEntry&) const = default;
};

// "node0,node1:4", "gpu[01-16]" as Slurm writes it, "user@node2". At least one. Fails with what is wrong, for which
// the caller names the option.
Result<std::vector<HostEntry>> parse_hosts(std::string_view list);

// A host a line: "node0", "node0 slots=4" (Open MPI), "node0:4" (MPICH). What follows '#' and empty lines count for
// nothing; of Open MPI's other words max_slots and max-slots are passed over. Fails with the line and what is wrong.
Result<std::vector<HostEntry>> parse_host_file(std::string_view text);

}  // namespace ferrun
