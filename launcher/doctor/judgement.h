// What the facts that `ferrun doctor` gathers mean for a job with several nodes. Pure; the facts are read by
// launcher/io/doctor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/endpoint.h"
#include "common/time.h"
#include "launcher/config/values.h"
#include "launcher/doctor/finding.h"
#include "launcher/report/gpu_health.h"

namespace ferrun {

struct NameFacts {
  std::string host;
  std::vector<std::string> addresses;
  std::string error;  // why there are none
  Duration took{};
};
Finding judge_name(const NameFacts& facts);

// The way to one address of the endpoint.
struct RouteFacts {
  std::string address;
  bool here = false;  // it is this machine's
  std::string local;  // this end's address; empty: there is no way
  std::string interface;
  std::string error;
};
Finding judge_route(const RouteFacts& facts);

// What became of a session with the coordinator.
struct CoordinatorFacts {
  Endpoint endpoint;
  std::string where;             // that answered: "node0 (10.0.0.1), port 29400"; empty: none did
  std::string tried;             // otherwise, one line
  bool refused_by_name = false;  // it answered, and has another token, job or version
  bool hosts = false;            // this machine is to coordinate the job
  std::string election;          // why, or why not
  // When it hosts: whether the port can be had.
  bool port_free = false;
  std::string port_problem;  // otherwise
};
Finding judge_coordinator(const CoordinatorFacts& facts);

struct StoreFacts {
  uint16_t port = 0;    // --master-port; 0: none
  bool shared = false;  // it is the coordinator's, which this machine hosts
  PortRange range;      // --port-range
  int free_in_range = 0;
  std::string problem;  // why `port` cannot be had; empty: it can
};
Finding judge_store(const StoreFacts& facts);

// net.ipv4.ip_local_port_range, from which Gloo and NCCL choose; none where it cannot be read.
Finding judge_worker_ports(const std::optional<PortRange>& range);

struct ClockFacts {
  std::optional<Duration> ahead;  // of the coordinator's clock; none: none answered
  Duration uncertainty{};
  std::optional<bool> synchronised;  // as the kernel says
};
Finding judge_clock(const ClockFacts& facts);

struct FileLimitFacts {
  uint64_t soft = 0;
  uint64_t hard = 0;
  uint64_t needed = 0;  // by an agent with `workers`
  int workers = 1;
};
Finding judge_files(const FileLimitFacts& facts);

// Of /dev/shm; none where there is none.
Finding judge_shared_memory(const std::optional<uint64_t>& bytes);

// NVIDIA's GPUs that workers would see. Findings: none where there is no driver; else the driver and the devices, with
// several devices how they reach each other, and where `worker` is installed whether it can use them.
struct GpuFacts {
  bool driver = false;
  std::string version;    // of the driver; empty: not told
  size_t offered = 0;     // devices, before CUDA_VISIBLE_DEVICES
  bool answered = false;  // the driver's library did
  std::string problem;    // otherwise, why not
  std::vector<GpuHealth> visible;
  std::vector<int> links;              // active NVLinks of each visible device
  int pairs = 0;                       // of visible devices of which it is known whether they reach each other
  std::vector<std::string> strangers;  // those that do not: "0000:1b:00.0 and 0000:43:00.0"
  bool worker = false;                 // the trainer is there, beside ferrun
  std::string plug_in;                 // the file that it computes on GPUs by; empty: there is none
};
std::vector<Finding> judge_gpus(const GpuFacts& facts);

struct TokenFacts {
  bool given = false;
  std::string origin;  // "--token-file=/secret" or "FERRUN_TOKEN"
  std::string error;   // why it cannot be read
  bool others_may_read = false;
  bool loopback = false;  // the endpoint
  bool by_munge = false;  // made by the coordinator, and read here
};
Finding judge_token(const TokenFacts& facts);

}  // namespace ferrun
