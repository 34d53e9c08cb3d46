#include "launcher/io/node/coordinator_host.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "launcher/config/names.h"
#include "launcher/io/node/node_claim.h"
#include "launcher/node/node_setup.h"
#include "rendezvous/io/net/port_owner.h"

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

CoordinatorHost::Started CoordinatorHost::start(const HostElection& election) {
  AgentListener::Callbacks callbacks;
  callbacks.agent = [this](AgentListener::Socket socket, const boost::asio::ip::tcp::endpoint& peer,
                           std::string_view first) { server_->adopt(std::move(socket), peer, first); };
  callbacks.store_client = callbacks_.store_client;
  callbacks.log = [this](const std::string& line) { callbacks_.say(LogLevel::kInfo, line); };
  const uint16_t port = options_.rendezvous.endpoint.port;
  AgentListener::Opened opened = AgentListener::open(io_, election, port, std::move(callbacks));
  if (opened.listener == nullptr) return not_opened(opened);
  listener_ = std::move(opened.listener);
  if (const Status begun = serve(); !begun) {
    listener_.reset();
    return HostingFailed{HostingFailed::Why::kRefused, begun.error()};
  }
  return HostingBegan{listener_->addresses()};
}

HostingFailed CoordinatorHost::not_opened(const AgentListener::Opened& opened) const {
  const Error error{ErrorKind::kPlatform, opened.why};
  if (opened.outcome == AgentListener::Outcome::kNotHere) return {HostingFailed::Why::kNotHere, error};
  if (opened.outcome != AgentListener::Outcome::kTaken) return {HostingFailed::Why::kRefused, error};
  // An agent tries again and again; only who ends for it looks for the owner, which takes long.
  const auto owner = options_.own_process ? port_owner(options_.rendezvous.endpoint.port) : std::nullopt;
  return {HostingFailed::Why::kTaken, {ErrorKind::kPlatform, opened.why + (owner ? ": " + *owner : "")}};
}

Status CoordinatorHost::serve() {
  if (!options_.state_file.empty()) claim_ = StateClaim::take(state_owner());
  StateVerdict earlier = claim_ ? claim_->take_verdict() : StateVerdict{};
  if (!earlier.usable) return Error{ErrorKind::kUser, earlier.line};
  if (!earlier.line.empty()) callbacks_.say(LogLevel::kWarning, earlier.line);
  if (earlier.state) look_for_remains(*earlier.state);
  CoordinatorServer::Options options;
  options.config = coordinator_config(
      options_.rendezvous, options_.own_process ? AgentId{} : options_.rendezvous.member.agent, options_.launch_id);
  options.saved = std::move(earlier.state);
  options.secret = options_.secret;
  options.state_file = state_is_kept() ? options_.state_file.string() : "";
  CoordinatorServer::Callbacks callbacks;
  callbacks.say = [this](const RendezvousSay& said) { callbacks_.say(log_level(said.level), said.line); };
  callbacks.done = [this](const JobEnd& job_end) { end(job_end); };
  server_ = std::make_unique<CoordinatorServer>(io_, std::move(options), std::move(callbacks));
  if (options_.state_is_private && state_is_kept()) keep_state_fresh();
  return ok_status();
}

void CoordinatorHost::look_for_remains(CoordinatorState& earlier) const {
  if (options_.claims.empty()) return;
  for (CoordinatorState::Member& member : earlier.members) {
    member.remains = remains_of(options_.claims, member.agent);
  }
}

StateOwner CoordinatorHost::state_owner() const {
  const RendezvousConfig& rendezvous = options_.rendezvous;
  StateOwner owner;
  owner.path = options_.state_file.string();
  owner.is_private = options_.state_is_private;
  owner.own_process = options_.own_process;
  owner.job_id = rendezvous.coordinator.job_id;
  owner.terms = rendezvous.coordinator.terms;
  owner.patience = rendezvous.member.coordinator_timeout + rendezvous.coordinator.silence;
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

bool CoordinatorHost::round_begun() const { return server_ && !server_->machine().round().none(); }

void CoordinatorHost::stop(int signal) {
  if (server_) server_->stop(signal);
}

void CoordinatorHost::close() {
  freshness_.cancel();
  server_.reset();
  listener_.reset();
  if (state_is_kept()) claim_->remove();
  claim_.reset();
}

void CoordinatorHost::end(const JobEnd& job_end) {
  freshness_.cancel();
  if (state_is_kept()) claim_->remove();
  callbacks_.done(job_end);
}

fs::path private_state_file(const fs::path& folder, const RendezvousConfig& rendezvous) {
  const std::string name = file_name_of(rendezvous.coordinator.job_id).substr(0, kLongestName);
  return folder / ("coordinator-" + std::to_string(rendezvous.endpoint.port) + "-" + name + ".state");
}

}  // namespace ferrun
