// What `ferrun doctor` is to look at. Pure.
#pragma once

#include <string>

#include "common/environment.h"
#include "common/result.h"
#include "launcher/cli/parse.h"
#include "launcher/config/host_facts.h"
#include "launcher/config/rendezvous_config.h"

namespace ferrun {

struct DoctorJob {
  RendezvousConfig rendezvous;
  bool alone = false;        // no other node is named: the endpoint is this machine's loopback address
  int workers = 1;           // of this node
  std::string token_origin;  // "--token-file=/secret" or "FERRUN_TOKEN"; empty: none is given
  std::string token_file;
  std::string token_error;  // why the secret cannot be had: a finding, no reason to look at nothing else
  Environment environment;  // ferrun's own
  bool as_json = false;
};

// Fails with kUsage and one line that names the option at fault.
Result<DoctorJob> make_doctor_job(const CommandLine& line, const HostFacts& facts);

}  // namespace ferrun
