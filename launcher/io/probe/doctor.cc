#include "launcher/io/probe/doctor.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <utility>

#include "common/io/clock.h"
#include "common/io/small_file.h"
#include "common/io/unique_fd.h"
#include "launcher/config/descriptors.h"
#include "launcher/doctor/judgement.h"
#include "launcher/io/probe/etcd_survey.h"
#include "launcher/io/probe/gpu_survey.h"
#include "rendezvous/coordinator/host_election.h"
#include "rendezvous/io/coordinator/agent_listener.h"
#include "rendezvous/io/member/member_link.h"
#include "rendezvous/io/net/local_addresses.h"
#include "rendezvous/io/net/port_owner.h"
#include "rendezvous/io/net/random_bytes.h"
#include "rendezvous/io/net/resolver.h"
#include "rendezvous/io/net/socket_address.h"
#include "rendezvous/job/job_status.h"

namespace ferrun {
namespace {

namespace asio = boost::asio;
using WallClock = std::chrono::system_clock;

constexpr std::chrono::seconds kPatienceWithNames{10};
constexpr std::chrono::seconds kPatienceWithCoordinator{3};
// More free ports than this are not counted.
constexpr uint32_t kPortsLookedAt = 1000;

// The end of a UDP socket that would reach `address`: nothing is sent.
RouteFacts route_to(const IpAddress& address, const std::vector<HostAddress>& own) {
  RouteFacts facts;
  facts.address = to_string(address);
  const auto to = endpoint_of(address, 9);
  const UniqueFd fd(socket(to.protocol().family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage local{};
  socklen_t size = sizeof local;
  if (!fd || connect(fd.get(), to.data(), static_cast<socklen_t>(to.size())) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&local), &size) != 0) {
    facts.error = std::strerror(errno);
  } else if (const auto found = ip_address_of(reinterpret_cast<const sockaddr&>(local))) {
    facts.local = to_string(*found);
    facts.interface = interface_of(*found, own);
  }
  return facts;
}

// Empty, or why nobody could listen there.
std::string problem_with_port(uint16_t port) {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const auto any = endpoint_of(*parse_ip_address("0.0.0.0"), port);
  const bool free = bind(fd.get(), any.data(), static_cast<socklen_t>(any.size())) == 0 && listen(fd.get(), 1) == 0;
  return free ? "" : std::strerror(errno);
}

std::optional<PortRange> local_port_range() {
  std::istringstream in(read_small_file("/proc/sys/net/ipv4/ip_local_port_range").bytes);
  PortRange range;
  if (!(in >> range.first >> range.last) || range.first > range.last) return std::nullopt;
  return range;
}

class Examination {
 public:
  explicit Examination(const DoctorJob& job) : job_(job), own_(local_addresses()) {}

  std::vector<Finding> run() {
    if (job_.alone) return run_alone();
    if (job_.rendezvous.etcd) {
      look_at_etcd();
    } else {
      look_up_name();
      look_at_routes();
      seek_coordinator();
    }
    look_at_store_port();
    findings_.push_back(judge_worker_ports(local_port_range()));
    findings_.push_back(judge_clock(clock_));
    look_at_limits();
    look_at_token();
    look_at_gpus();
    return std::move(findings_);
  }

 private:
  const Endpoint& endpoint() const { return job_.rendezvous.endpoint; }

  // What a job of this machine alone uses.
  std::vector<Finding> run_alone() {
    addresses_.push_back(*parse_ip_address(endpoint().host));
    look_at_routes();
    look_at_store_port();
    look_at_limits();
    look_at_gpus();
    findings_.push_back(
        {Finding::Status::kOk, "nodes", "this machine alone; --rdzv-endpoint=HOST looks at the way to others"});
    return std::move(findings_);
  }

  void look_at_gpus() {
    for (Finding& finding : judge_gpus(survey_gpus(job_.environment))) findings_.push_back(std::move(finding));
  }

  void run_until(const bool& done, std::chrono::seconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!done && std::chrono::steady_clock::now() < deadline) {
      io_.restart();
      io_.run_one_until(deadline);
    }
  }

  // The seat says who coordinates the job, and where that is reached.
  void look_at_etcd() {
    const EtcdFacts etcd = survey_etcd(io_, job_.rendezvous);
    for (Finding& finding : judge_etcd(etcd)) findings_.push_back(std::move(finding));
    if (!etcd.holder) return;
    for (const std::string& address : etcd.holder->addresses) {
      if (const auto parsed = parse_ip_address(address)) addresses_.push_back(*parsed);
    }
    look_at_routes();
    CoordinatorFacts facts;
    facts.endpoint = {etcd.holder->host, etcd.holder->port};
    facts.election = "it has the job's seat in etcd";
    if (!addresses_.empty()) ask_coordinator(facts);
    findings_.push_back(judge_coordinator(facts));
  }

  void look_up_name() {
    NameFacts facts;
    facts.host = endpoint().host;
    facts.error = "the name servers do not answer";
    bool answered = false;
    const TimePoint began = monotonic_now();
    const auto resolver = Resolver::make(io_, endpoint().host, [&](const NameAnswer& answer) {
      answered = true;
      addresses_ = answer.addresses;
      facts.error = answer.error;
    });
    resolver->start();
    run_until(answered, kPatienceWithNames);
    resolver->stop();
    facts.took = monotonic_now() - began;
    for (const IpAddress& address : addresses_) facts.addresses.push_back(to_string(address));
    findings_.push_back(judge_name(facts));
  }

  void look_at_routes() {
    for (const EndpointAddress& address : found_here(addresses_, own_)) {
      RouteFacts facts = route_to(address.ip, own_);
      facts.here = address.here;
      if (address.here) facts.interface = address.interface;
      findings_.push_back(judge_route(facts));
    }
  }

  void seek_coordinator() {
    CoordinatorFacts facts;
    facts.endpoint = endpoint();
    const HostElection election = elect_host(endpoint(), found_here(addresses_, own_), own_, job_.rendezvous.is_host);
    facts.hosts = hosts_ = election.hosts;
    facts.election = election.reason;
    if (!addresses_.empty()) ask_coordinator(facts);
    if (facts.where.empty() && facts.hosts) try_to_listen(election, facts);
    findings_.push_back(judge_coordinator(facts));
  }

  // A session that asks for the status; the answer carries the coordinator's clock.
  void ask_coordinator(CoordinatorFacts& facts) {
    bool done = false;
    WallClock::time_point asked;
    MemberLink::Options options;
    options.endpoint = facts.endpoint;
    if (job_.rendezvous.etcd) options.here = addresses_;
    options.secret = job_secret(job_.rendezvous);
    // On a thread that may outlive this.
    if (job_.rendezvous.unwrap_token) {
      options.unwrap = [token = token_by_munge_, unwrap = job_.rendezvous.unwrap_token](const std::string& wrapped) {
        Result<std::string> unwrapped = unwrap(wrapped);
        *token = unwrapped.ok();
        return unwrapped;
      };
    }
    options.role = SessionRole::kStatus;
    options.agent = random_agent_id();
    MemberLink::Callbacks callbacks;
    MemberLink* link_of_callbacks = nullptr;
    callbacks.reached = [&](const CoordinatorReached& reached) {
      facts.where = reached.where;
      asked = WallClock::now();
      link_of_callbacks->tell(StatusRequest{1});
    };
    callbacks.gone = [&](const CoordinatorGone&) { done = true; };
    callbacks.note = [&](const DialNote& note) {
      facts.tried = note.tried;
      facts.refused_by_name = note.final;
      done = note.final || facts.hosts;  // on this machine a port that nobody has refuses at once
    };
    callbacks.said = [&](const CoordinatorSaid& said) {
      const auto* reply = std::get_if<StatusReply>(&said.message);
      if (reply != nullptr) compare_clocks(reply->json, asked);
      done = true;
    };
    MemberLink link(io_, std::move(options), std::move(callbacks));
    link_of_callbacks = &link;
    link.dial();
    run_until(done, kPatienceWithCoordinator);
  }

  void compare_clocks(const std::string& json, WallClock::time_point asked) {
    const WallClock::time_point now = WallClock::now();
    const Result<JobStatus> status = job_status_from_json(json);
    if (!status || status->clock_us == 0) return;
    const WallClock::time_point theirs{std::chrono::microseconds(status->clock_us)};
    clock_.uncertainty = (now - asked) / 2;
    clock_.ahead = asked + clock_.uncertainty - theirs;
  }

  void try_to_listen(const HostElection& election, CoordinatorFacts& facts) {
    const auto opened = AgentListener::open(io_, election, endpoint().port, {});
    facts.port_free = opened.outcome == AgentListener::Outcome::kListening;
    facts.port_problem = opened.why;
    if (facts.port_free) return;
    if (const auto owner = port_owner(endpoint().port)) facts.port_problem += " (" + *owner + ")";
  }

  void look_at_store_port() {
    StoreFacts facts;
    facts.port = job_.rendezvous.store_port;
    facts.range = job_.rendezvous.ports;
    facts.shared = hosts_ && facts.port == endpoint().port;
    if (facts.port != 0 && !facts.shared) {
      facts.problem = problem_with_port(facts.port);
      if (const auto owner = facts.problem.empty() ? std::nullopt : port_owner(facts.port)) {
        facts.problem += " (" + *owner + ")";
      }
    }
    if (facts.range.given()) {
      const uint32_t last = std::min<uint32_t>(facts.range.last, facts.range.first + kPortsLookedAt - 1);
      for (uint32_t port = facts.range.first; port <= last; ++port) {
        if (problem_with_port(static_cast<uint16_t>(port)).empty()) ++facts.free_in_range;
      }
    }
    findings_.push_back(judge_store(facts));
    if (timex kernel{}; !clock_.ahead && adjtimex(&kernel) >= 0) {
      clock_.synchronised = (kernel.status & STA_UNSYNC) == 0;
    }
  }

  void look_at_limits() {
    FileLimitFacts files;
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    files.soft = limit.rlim_cur;
    files.hard = limit.rlim_max;
    files.workers = job_.workers;
    files.needed = descriptors_for_workers(job_.workers);
    findings_.push_back(judge_files(files));
    struct statvfs shared {};
    const bool there = statvfs("/dev/shm", &shared) == 0;
    findings_.push_back(
        judge_shared_memory(there ? std::optional<uint64_t>(shared.f_blocks * shared.f_frsize) : std::nullopt));
  }

  void look_at_token() {
    TokenFacts facts;
    facts.given = !job_.rendezvous.token.empty();
    facts.origin = job_.token_origin;
    facts.by_munge = *token_by_munge_ || !job_.rendezvous.wrapped_token.empty();
    facts.error = job_.token_error;
    facts.loopback = is_loopback(endpoint().host);
    struct stat file {};
    if (!job_.token_file.empty() && stat(job_.token_file.c_str(), &file) == 0) {
      facts.others_may_read = (file.st_mode & (S_IRGRP | S_IROTH)) != 0;
    }
    findings_.push_back(judge_token(facts));
  }

  const DoctorJob& job_;
  const std::shared_ptr<std::atomic<bool>> token_by_munge_ = std::make_shared<std::atomic<bool>>(false);
  asio::io_context io_{1};
  std::vector<HostAddress> own_;
  std::vector<IpAddress> addresses_;  // of the endpoint
  bool hosts_ = false;
  ClockFacts clock_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> examine(const DoctorJob& job) { return Examination(job).run(); }

}  // namespace ferrun
