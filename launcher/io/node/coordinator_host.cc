#include "launcher/io/node/coordinator_host.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "launcher/config/names.h"
#include "launcher/node/node_setup.h"
#include "rendezvous/coordinator/host_election.h"
#include "rendezvous/io/net/local_addresses.h"

namespace ferrun {

namespace fs = std::filesystem;

namespace {

constexpr size_t kLongestName = 100;
// A state file that is kept fresh is touched this often.
constexpr std::chrono::seconds kFreshness{1};

LogLevel log_level(RendezvousLevel level) {
  switch (level) {
    case RendezvousLevel::kDebug: return LogLevel::kDebug;
    case RendezvousLevel::kInfo: return LogLevel::kInfo;
    case RendezvousLevel::kWarning: return LogLevel::kWarning;
  }
  return LogLevel::kWarning;
}

}  // namespace

CoordinatorHost::CoordinatorHost(boost::asio::io_context& io, Options options, Callbacks callbacks)
    : io_(io), options_(std::move(options)), callbacks_(std::move(callbacks)), freshness_(io) {}

CoordinatorHost::~CoordinatorHost() {
  if (resolver_) resolver_->stop();
}

void CoordinatorHost::start() {
  const std::optional<bool> is_host = options_.rendezvous.conf.is_host;
  if (is_host) return elect({});  // the user's word: no address decides
  if (resolver_) resolver_->stop();
  resolver_ =
      Resolver::make(io_, options_.rendezvous.endpoint.host, [this](const NameAnswer& answer) { answered(answer); });
  resolver_->start();
}

void CoordinatorHost::answered(const NameAnswer& answer) {
  if (hosting()) return;
  if (answer.addresses.empty()) {
    return callbacks_.decided(Outcome::kUnknown, options_.rendezvous.endpoint.host + ": " + answer.error);
  }
  resolver_->stop();
  elect(answer.addresses);
}

void CoordinatorHost::elect(const std::vector<IpAddress>& addresses) {
  const RendezvousConfig& rendezvous = options_.rendezvous;
  const std::vector<HostAddress> own = local_addresses();
  const HostElection election =
      elect_host(rendezvous.endpoint, found_here(addresses, own), own, rendezvous.conf.is_host);
  if (!election.hosts) return callbacks_.decided(Outcome::kElsewhere, election.reason);
  AgentListener::Callbacks callbacks;
  callbacks.agent = [this](AgentListener::Socket socket, const boost::asio::ip::tcp::endpoint& peer,
                           std::string_view first) { server_->adopt(std::move(socket), peer, first); };
  callbacks.store_client = callbacks_.store_client;
  callbacks.log = [this](const std::string& line) { callbacks_.say(LogLevel::kInfo, line); };
  AgentListener::Opened opened = AgentListener::open(io_, election, rendezvous.endpoint.port, std::move(callbacks));
  switch (opened.outcome) {
    case AgentListener::Outcome::kListening: return host(std::move(opened.listener), election.reason);
    case AgentListener::Outcome::kTaken: return callbacks_.decided(Outcome::kTaken, opened.why);
    case AgentListener::Outcome::kNotHere: return callbacks_.decided(Outcome::kElsewhere, opened.why);
    case AgentListener::Outcome::kRefused: return callbacks_.failed(Error{ErrorKind::kPlatform, opened.why});
  }
}

void CoordinatorHost::host(std::unique_ptr<AgentListener> listener, const std::string& why) {
  if (!options_.state_file.empty()) claim_ = StateClaim::take(state_owner());
  StateVerdict earlier = claim_ ? claim_->take_verdict() : StateVerdict{};
  if (!earlier.usable) return callbacks_.failed(Error{ErrorKind::kUser, earlier.line});
  if (!earlier.line.empty()) callbacks_.say(LogLevel::kWarning, earlier.line);
  listener_ = std::move(listener);
  CoordinatorServer::Options options;
  options.config = coordinator_config(options_.rendezvous, options_.own_process ? AgentId{} : options_.rendezvous.agent,
                                      options_.launch_id);
  options.saved = std::move(earlier.state);
  options.secret = options_.secret;
  options.state_file = state_is_kept() ? options_.state_file.string() : "";
  CoordinatorServer::Callbacks callbacks;
  callbacks.say = [this](const RendezvousSay& said) { callbacks_.say(log_level(said.level), said.line); };
  callbacks.done = [this](const JobEnd& job_end) { end(job_end); };
  server_ = std::make_unique<CoordinatorServer>(io_, std::move(options), std::move(callbacks));
  if (options_.state_is_private && state_is_kept()) keep_state_fresh();
  callbacks_.decided(Outcome::kHosting, why);
}

StateOwner CoordinatorHost::state_owner() const {
  const RendezvousConfig& rendezvous = options_.rendezvous;
  StateOwner owner;
  owner.path = options_.state_file.string();
  owner.is_private = options_.state_is_private;
  owner.own_process = options_.own_process;
  owner.job_id = rendezvous.job_id;
  owner.terms = rendezvous.terms;
  owner.patience = rendezvous.coordinator_timeout + rendezvous.keep_alive();
  return owner;
}

void CoordinatorHost::keep_state_fresh() {
  freshness_.expires_after(kFreshness);
  freshness_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    utimensat(AT_FDCWD, options_.state_file.c_str(), nullptr, 0);
    keep_state_fresh();
  });
}

void CoordinatorHost::stop(int signal) {
  if (server_ && !done_) server_->stop(signal);
}

void CoordinatorHost::end(const JobEnd& job_end) {
  done_ = true;
  freshness_.cancel();
  if (state_is_kept()) claim_->remove();
  callbacks_.done(job_end);
}

fs::path private_state_file(const fs::path& folder, const RendezvousConfig& rendezvous) {
  const std::string name = file_name_of(rendezvous.job_id).substr(0, kLongestName);
  return folder / ("coordinator-" + std::to_string(rendezvous.endpoint.port) + "-" + name + ".state");
}

}  // namespace ferrun
