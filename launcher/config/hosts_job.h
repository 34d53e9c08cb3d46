// From `ferrun --hosts …` to what is done on every host: the command that reaches it, and the order that it is given.
// Pure; asks for what ssh's configuration makes of a name through a function.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "common/result.h"
#include "launcher/cli/parse.h"
#include "launcher/config/host_facts.h"
#include "launcher/config/job_config.h"
#include "launcher/hosts/host_order.h"

namespace ferrun {

struct HostPlan {
  std::string name;
  bool by_ssh = true;                // false: this machine
  std::vector<std::string> command;  // reaches the host and starts `ferrun host-agent` there
  HostOrder order;
};

struct HostsJob {
  std::vector<HostPlan> hosts;  // the nodes meet at the first one
  size_t least = 1;             // hosts with which the job can run
  LogLevel log_level = LogLevel::kWarning;
};

struct HostQueries {
  // A file of hosts; fails with a reason that follows its name.
  std::function<Result<std::string>(const std::string& path)> file;
  // The address that the configuration of this ssh, a command in words, has for a name; the name itself where there is
  // none.
  std::function<std::string(const std::vector<std::string>& ssh, const std::string& name)> ssh_address;
};

// Whether --hosts or --hostfile names any.
bool wants_hosts(const RawOptions& options);

// `arguments` are those that `line` was read from. Fails with kUsage for hosts that are none, options that contradict
// them, and what make_job_config refuses on every host alike is refused there.
Result<HostsJob> make_hosts_job(std::span<const std::string> arguments, const CommandLine& line, const HostFacts& facts,
                                const HostQueries& ask);

}  // namespace ferrun
