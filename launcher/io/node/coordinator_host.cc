#include "launcher/io/node/coordinator_host.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "launcher/config/names.h"
#include "launcher/io/node/node_claim.h"
#include "launcher/node/node_setup.h"
#include "rendezvous/io/coordinator/file_store.h"
#include "rendezvous/io/net/port_owner.h"

namespace ferrun {

namespace fs = std::filesystem;

namespace {

constexpr size_t kLongestName = 100;
constexpr std::chrono::milliseconds kRemainsAgain{100};

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
    : io_(io), options_(std::move(options)), callbacks_(std::move(callbacks)), look_again_(io) {}

CoordinatorHost::Started CoordinatorHost::start(const HostElection& election) {
  AgentListener::Opened opened = listen(election);
  if (opened.listener == nullptr) return not_opened(opened);
  listener_ = std::move(opened.listener);
  if (const Status begun = serve(); !begun) {
    listener_.reset();
    return HostingFailed{HostingFailed::Why::kRefused, begun.error()};
  }
  return HostingBegan{listener_->addresses()};
}

// At the endpoint; where agents are told the address by other means, at any port that they may use.
AgentListener::Opened CoordinatorHost::listen(const HostElection& election) {
  AgentListener::Callbacks callbacks;
  callbacks.agent = [this](AgentListener::Socket socket, const boost::asio::ip::tcp::endpoint& peer,
                           std::string_view first) { server_->adopt(std::move(socket), peer, first); };
  callbacks.store_client = callbacks_.store_client;
  callbacks.log = [this](const std::string& line) { callbacks_.say(LogLevel::kInfo, line); };
  const RendezvousConfig& rendezvous = options_.rendezvous;
  if (!rendezvous.etcd) return AgentListener::open(io_, election, rendezvous.endpoint.port, std::move(callbacks));
  for (int port = rendezvous.ports.first; port < rendezvous.ports.last; ++port) {
    AgentListener::Opened opened = AgentListener::open(io_, election, static_cast<uint16_t>(port), callbacks);
    if (opened.outcome != AgentListener::Outcome::kTaken) return opened;
  }
  return AgentListener::open(io_, election, rendezvous.ports.last, std::move(callbacks));
}

std::unique_ptr<StateStore> CoordinatorHost::open_store() const {
  if (options_.open_store) return options_.open_store(state_owner());
  if (options_.state_file.empty()) return nullptr;
  return std::make_unique<FileStore>(io_, state_owner());
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
  store_ = open_store();
  StateVerdict earlier = store_ ? store_->take_verdict() : StateVerdict{};
  if (!earlier.usable) return Error{ErrorKind::kUser, earlier.line};
  if (!earlier.line.empty()) callbacks_.say(LogLevel::kWarning, earlier.line);
  if (earlier.state) look_for_remains(*earlier.state);
  CoordinatorServer::Options options;
  options.config = coordinator_config(
      options_.rendezvous, options_.own_process ? AgentId{} : options_.rendezvous.member.agent, options_.launch_id);
  options.saved = std::move(earlier.state);
  options.secret = options_.secret;
  options.store = store_ && store_->keeps() ? store_.get() : nullptr;
  options.may_act = options_.may_act;
  CoordinatorServer::Callbacks callbacks;
  callbacks.say = [this](const RendezvousSay& said) { callbacks_.say(log_level(said.level), said.line); };
  callbacks.done = [this](const JobEnd& job_end) { end(job_end); };
  server_ = std::make_unique<CoordinatorServer>(io_, std::move(options), std::move(callbacks));
  if (options_.rendezvous.etcd && !dying_.empty()) look_again_for_remains();
  return ok_status();
}

void CoordinatorHost::look_for_remains(CoordinatorState& earlier) {
  dying_.clear();
  if (options_.claims.empty()) return;
  for (CoordinatorState::Member& member : earlier.members) {
    if (member.remains == Remains::kNone) continue;
    member.remains = remains_of(options_.claims, member.agent);
    if (member.remains == Remains::kUnknown) dying_.push_back(member.agent);
  }
}

// A coordinator that was taken over from in a moment may still be on its way out: its sentinel says when it is gone.
void CoordinatorHost::look_again_for_remains() {
  look_again_.expires_after(kRemainsAgain);
  look_again_.async_wait([this](const boost::system::error_code& error) {
    if (error || !server_ || dying_.empty()) return;
    std::erase_if(dying_, [this](AgentId agent) {
      const Remains remains = remains_of(options_.claims, agent);
      if (remains != Remains::kUnknown) server_->note_remains(agent, remains);
      return remains != Remains::kUnknown;
    });
    look_again_for_remains();
  });
}

StateOwner CoordinatorHost::state_owner() const {
  const RendezvousConfig& rendezvous = options_.rendezvous;
  StateOwner owner;
  owner.path = options_.state_file.string();
  owner.is_private = options_.state_is_private;
  owner.own_process = options_.own_process;
  owner.agent = rendezvous.member.agent;
  owner.job_id = rendezvous.coordinator.job_id;
  owner.terms = rendezvous.coordinator.terms;
  owner.patience = rendezvous.member.coordinator_timeout + rendezvous.coordinator.silence;
  return owner;
}

bool CoordinatorHost::round_begun() const { return server_ && !server_->machine().round().none(); }

void CoordinatorHost::stop(int signal) {
  if (server_) server_->stop(signal);
}

void CoordinatorHost::close() {
  look_again_.cancel();
  server_.reset();
  listener_.reset();
  if (store_) store_->end(/*job_is_over=*/true, [] {});
  store_.reset();
}

void CoordinatorHost::end(const JobEnd& job_end) {
  look_again_.cancel();
  if (!store_) return callbacks_.done(job_end);
  store_->end(server_->machine().job_is_over(), [this, job_end] { callbacks_.done(job_end); });
}

fs::path private_state_file(const fs::path& folder, const RendezvousConfig& rendezvous) {
  const std::string name = file_name_of(rendezvous.coordinator.job_id).substr(0, kLongestName);
  return folder / ("coordinator-" + std::to_string(rendezvous.endpoint.port) + "-" + name + ".state");
}

}  // namespace ferrun
