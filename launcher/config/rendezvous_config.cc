#include "launcher/config/rendezvous_config.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <tuple>

#include "common/duration_text.h"
#include "common/text.h"
#include "launcher/config/job_token.h"
#include "launcher/config/rendezvous_conf.h"
#include "launcher/config/restart_rules.h"
#include "rendezvous/wire/handshake.h"

namespace ferrun {
namespace {

constexpr uint16_t kStaticPort = 29500;
constexpr uint16_t kDynamicPort = 29400;

Result<Duration> seconds_of(const RawOptions& options, const char* name, bool zero_allowed) {
  const RawValue value = options.value(name);
  const std::optional<Duration> seconds = parse_seconds(value.text);
  if (seconds && (zero_allowed || *seconds > Duration::zero())) return *seconds;
  return bad_value(value, zero_allowed ? "expected seconds, 0 or more" : "expected seconds, more than 0");
}

// Reads each option into the configuration. Every method fails with the first bad value that it meets.
class RendezvousReader {
 public:
  RendezvousReader(const RawOptions& options, const HostFacts& facts) : options_(options), facts_(facts) {}

  Result<RendezvousConfig> read(NodeRange nodes) {
    config_.coordinator.min_nodes = config_.member.min_nodes = static_cast<int>(nodes.least);
    config_.coordinator.max_nodes = config_.member.max_nodes = static_cast<int>(nodes.most);
    config_.member.agent.value = std::max<uint64_t>(facts_.random[0], 1);
    config_.state_file = options_.value("state-file").text;
    config_.interface = options_.value("iface").text;
    using Step = Status (RendezvousReader::*)();
    for (const Step step :
         {&RendezvousReader::read_backend, &RendezvousReader::read_job_id, &RendezvousReader::read_times,
          &RendezvousReader::read_ports, &RendezvousReader::read_endpoint, &RendezvousReader::read_local_address,
          &RendezvousReader::read_node_rank, &RendezvousReader::read_restarts, &RendezvousReader::read_conf,
          &RendezvousReader::read_token}) {
      if (Status done = (this->*step)(); !done) return done.error();
    }
    note_terms();
    return std::move(config_);
  }

  Status check_values() {
    for (const auto step : {&RendezvousReader::read_times, &RendezvousReader::read_ports}) {
      if (Status done = (this->*step)(); !done) return done;
    }
    return ok_status();
  }

 private:
  Status read_backend() {
    const RawValue backend = options_.value("rdzv-backend");
    if (const Status known = check_backend(options_); !known) return known;
    default_port_ = backend.text == "static" ? kStaticPort : kDynamicPort;
    if (!options_.on("standalone")) return ok_status();
    return Error{ErrorKind::kUsage,
                 "--standalone is a job of this machine alone: it excludes --nnodes=" + options_.value("nnodes").text};
  }

  Status read_job_id() {
    const RawValue id = options_.value("rdzv-id");
    if (id.text.size() > kMaxJobIdBytes) {
      return bad_value(id, "expected at most " + std::to_string(kMaxJobIdBytes) + " bytes");
    }
    config_.coordinator.job_id = id.text.empty() ? "none" : id.text;
    return ok_status();
  }

  Status read_times() {
    const std::array<std::tuple<const char*, bool, Duration*>, 3> times = {
        std::tuple{"coordinator-timeout", false, &config_.member.coordinator_timeout},
        std::tuple{"min-uptime", true, &config_.coordinator.min_uptime},
        std::tuple{"scale-interval", true, &config_.coordinator.scale_interval}};
    for (const auto& [name, zero_allowed, into] : times) {
      const Result<Duration> seconds = seconds_of(options_, name, zero_allowed);
      if (!seconds) return seconds.error();
      *into = *seconds;
    }
    return ok_status();
  }

  Status read_ports() {
    const RawValue range = options_.value("port-range");
    if (range.text.empty()) return ok_status();
    const Result<PortRange> ports = parse_port_range(range.text);
    if (!ports) return bad_value(range, ports.error().message);
    config_.ports = *ports;
    return ok_status();
  }

  Status read_endpoint() {
    uint16_t port = default_port_;
    if (const RawValue* given = options_.given("master-port")) {
      const Result<uint16_t> number = parse_port(strip(given->text));
      if (!number) return bad_value(*given, number.error().message);
      config_.store_port = *number;
      if (*number != 0) port = *number;
    }
    const RawValue endpoint = options_.value("rdzv-endpoint");
    if (options_.value("rdzv-backend").text == "etcd") return read_etcd_servers();
    const RawValue master = options_.value("master-addr");
    if (options_.given("rdzv-endpoint") != nullptr && strip(endpoint.text).empty()) return empty_host(endpoint);
    const RawValue& source = endpoint.text.empty() ? master : endpoint;
    const Result<Endpoint> parsed = parse_endpoint(source.text, port);
    if (!parsed) return Error{ErrorKind::kUsage, source.origin + ": " + parsed.error().message};
    config_.endpoint = *parsed;
    if (config_.endpoint.port == 0) return bad_value(source, "nodes cannot meet at port 0: HOST:PORT");
    if (&source == &master && strip(master.text).empty()) {
      return empty_host(master);
    }
    config_.member.endpoint = to_string(config_.endpoint);
    warn_of_the_endpoint(endpoint.text.empty() && options_.given("master-addr") == nullptr);
    return ok_status();
  }

  Status read_etcd_servers() {
    Result<EtcdConfig> etcd = read_etcd(options_, facts_);
    if (!etcd) return etcd.error();
    if (!config_.state_file.empty()) {
      return bad_value(options_.value("state-file"), "with --rdzv-backend=etcd the state is kept there");
    }
    config_.endpoint = etcd->servers.front();
    std::string list;
    for (const Endpoint& server : etcd->servers) list += (list.empty() ? "" : ",") + to_string(server);
    config_.member.endpoint = "etcd (" + list + ")";
    std::ranges::move(etcd->warnings, std::back_inserter(config_.warnings));
    config_.etcd = std::move(*etcd);
    return ok_status();
  }

  static Error empty_host(const RawValue& value) {
    return bad_value(value, "it is empty (is a variable?): expected the name or number of a host");
  }

  // Agents and workers meet where the options say; users of other launchers expect the variables to count.
  void warn_of_the_endpoint(bool by_default) {
    const std::string where = to_string(config_.endpoint);
    const std::string ignored = ignored_variables();
    if (by_default) {
      config_.warnings.push_back("no --rdzv-endpoint is given: agents meet at " + where +
                                 ", which only those on this machine reach" +
                                 (ignored.empty() ? "" : "; " + ignored + " of the environment does not count"));
    } else if (!ignored.empty()) {
      config_.warnings.push_back(ignored + " of the environment does not count: agents meet at " + where +
                                 ", and workers are told the address of rank 0's node");
    }
  }

  // MASTER_ADDR and MASTER_PORT where they say something else than the options.
  std::string ignored_variables() const {
    std::string ignored;
    const std::string host = facts_.environment.get_or("MASTER_ADDR", "");
    if (!host.empty() && host != config_.endpoint.host) ignored = "MASTER_ADDR=" + host;
    const std::string port = facts_.environment.get_or("MASTER_PORT", "");
    if (!port.empty() && port != std::to_string(config_.endpoint.port) && port != std::to_string(config_.store_port)) {
      ignored += (ignored.empty() ? "MASTER_PORT=" : ", MASTER_PORT=") + port;
    }
    return ignored;
  }

  Status read_local_address() {
    const RawValue local = options_.value("local-addr");
    if (local.text.empty()) return ok_status();
    const bool bare_v6 = local.text.find(':') != local.text.rfind(':') && !local.text.starts_with('[');
    const Result<Endpoint> parsed = parse_endpoint(bare_v6 ? "[" + local.text + "]" : local.text, 0);
    if (!parsed || parsed->port != 0) return bad_value(local, "expected the name or number of a host, without a port");
    config_.local_address = parsed->host;
    return ok_status();
  }

  Status read_node_rank() {
    const RawValue rank = options_.value("node-rank");
    if (rank.text.empty()) return ok_status();
    const std::optional<long> number = parse_integer(rank.text);
    if (!number || *number < 0 || *number >= config_.coordinator.max_nodes) {
      return bad_value(rank, "expected a node's rank, 0 to " + std::to_string(config_.coordinator.max_nodes - 1));
    }
    config_.member.node_rank = static_cast<int>(*number);
    return ok_status();
  }

  Status read_restarts() {
    const RawValue value = options_.value("max-restarts");
    const std::optional<long> number = parse_integer(value.text);
    if (!number || *number < 0 || *number > std::numeric_limits<int>::max()) {
      return bad_value(value, "expected a whole number, 0 or more");
    }
    config_.coordinator.max_restarts = static_cast<int>(*number);
    Result<RestartPolicy> policy = read_restart_policy(options_, facts_.random[1]);
    if (!policy) return policy.error();
    config_.coordinator.restart = std::move(*policy);
    return ok_status();
  }

  Status read_conf() { return read_rendezvous_conf(options_, config_); }

  Status read_token() {
    Result<JobToken> token = job_token(options_, facts_);
    if (!token) return token.error();
    config_.token = std::move(token->text);
    std::ranges::move(token->warnings, std::back_inserter(config_.warnings));
    if (config_.token.empty() && !is_loopback(config_.endpoint.host)) read_own_token();
    return ok_status();
  }

  // Slurm's hosts have munge; elsewhere it may be another machine's matter than the job's.
  void read_own_token() {
    config_.unwrap_token = own_token_reader(config_.coordinator.job_id, facts_);
    std::string why;
    if (facts_.environment.contains("SLURM_JOB_ID")) {
      Result<OwnToken> own = make_own_token(config_.coordinator.job_id, facts_);
      if (own) {
        config_.token = std::move(own->text);
        config_.wrapped_token = std::move(own->wrapped);
        config_.notes.push_back(
            "agents know each other by munge: only processes of this user can take part in the job");
        return;
      }
      why = ", and munge gives none (" + own.error().message + ")";
    }
    const std::string whom = config_.etcd ? "the coordinator" : to_string(config_.endpoint);
    config_.warnings.push_back("no token is given (--token-file, FERRUN_TOKEN)" + why + ": whoever reaches " + whom +
                               " can take part in the job");
  }

  void note_terms() {
    const auto range = [](int least, int most) {
      return least == most ? std::to_string(most) : std::to_string(least) + ":" + std::to_string(most);
    };
    const CoordinatorConfig& job = config_.coordinator;
    const std::string on_exit = options_.value("on-exit").text;
    config_.coordinator.terms = {{"--nnodes", range(job.min_nodes, job.max_nodes)},
                                 {"--max-restarts", std::to_string(job.max_restarts)},
                                 {"--coordinator-timeout", seconds_number(config_.member.coordinator_timeout)},
                                 {"--min-uptime", seconds_number(job.min_uptime)},
                                 {"--on-exit", on_exit.empty() ? "none" : on_exit},
                                 {"--restart-delay", options_.value("restart-delay").text},
                                 {"--scale-interval", seconds_number(job.scale_interval)},
                                 {"--rdzv-conf last_call_timeout", seconds_number(job.last_call)},
                                 {"--rdzv-conf close_timeout", seconds_number(job.close_timeout)},
                                 {"--rdzv-conf keep_alive_interval", seconds_number(job.heartbeat_interval)},
                                 {"--rdzv-conf keep_alive_max_attempt", std::to_string(config_.keep_alive_attempts)}};
  }

  const RawOptions& options_;
  const HostFacts& facts_;
  uint16_t default_port_ = kStaticPort;
  RendezvousConfig config_;
};

}  // namespace

Result<RendezvousConfig> read_rendezvous(const RawOptions& options, NodeRange nodes, const HostFacts& facts) {
  return RendezvousReader(options, facts).read(nodes);
}

Status check_rendezvous_values(const RawOptions& options) {
  return RendezvousReader(options, HostFacts{}).check_values();
}

std::shared_ptr<const JobSecret> job_secret(const RendezvousConfig& config) {
  return std::make_shared<const JobSecret>(config.coordinator.job_id, config.token, config.wrapped_token);
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos);
}

}  // namespace ferrun
