// `ferrun --hosts`: starts ferrun on every host, shows what they write as whole lines, passes signals on, and ends as
// the job ends. It has no part in the job itself.
#pragma once

#include <string>
#include <vector>

#include "launcher/config/hosts_job.h"

namespace ferrun {

// Runs to the end of all hosts' agents and gives the status to end with. Should this process be killed, the connections
// end with it, and the agents stop.
int run_on_hosts(HostsJob job);

// The address that ssh's configuration gives to a host (`ssh -G`), the name itself where the command is no ssh, or
// cannot say. Waits for ssh, which reads its files; called before anything runs.
std::string ssh_address(const std::vector<std::string>& ssh, const std::string& name);

}  // namespace ferrun
