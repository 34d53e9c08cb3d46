#include "launcher/io/probe/etcd_survey.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <utility>

#include "common/io/clock.h"
#include "launcher/node/node_setup.h"
#include "rendezvous/io/etcd/etcd_client.h"

namespace ferrun {
namespace {

// Longer than an agent's attempt with a server, which goes on to the next one: here each is to be heard.
constexpr Duration kPatienceWithEtcd = std::chrono::seconds(2);
constexpr Duration kPatienceWithElection = std::chrono::seconds(3);
constexpr Duration kBeforeNextRead = std::chrono::milliseconds(200);

class EtcdSurvey {
 public:
  EtcdSurvey(boost::asio::io_context& io, const RendezvousConfig& config)
      : io_(io), config_(*config.etcd), seat_(seat_config(config)) {
    facts_.user = config_.user;
    facts_.tls = config_.tls;
    facts_.loopback =
        std::ranges::all_of(config_.servers, [](const Endpoint& server) { return is_loopback(server.host); });
    facts_.job_id = config.coordinator.job_id;
    facts_.prefix = seat_.prefix;
  }

  EtcdFacts run() {
    for (const Endpoint& server : config_.servers) facts_.servers.push_back(look_at(server));
    ask_answering_server();
    return std::move(facts_);
  }

 private:
  // Answered once, in a time that the client's attempts bound.
  etcd::Outcome ask(etcd::Client& client, etcd::Request request) {
    std::optional<etcd::Outcome> answer;
    client.ask(std::move(request), [&](const etcd::Outcome& outcome) { answer = outcome; });
    io_.restart();
    while (!answer) io_.run_one();
    return std::move(*answer);
  }

  etcd::Client client_of(const Endpoint& server, bool with_user) {
    etcd::Client::Options options;
    options.servers = {server};
    options.tls = config_.tls;
    options.attempt_time = kPatienceWithEtcd;
    if (with_user) {
      options.user = config_.user;
      options.password = config_.password;
    }
    return {io_, std::move(options)};
  }

  // Without the user: a wrong password says nothing of the way to the server. Newer servers tell only whom they know.
  EtcdServerFacts look_at(const Endpoint& server) {
    EtcdServerFacts facts;
    facts.endpoint = server;
    etcd::Client stranger = client_of(server, /*with_user=*/false);
    etcd::Outcome status = ask(stranger, etcd::server_status());
    if (status.failure && status.failure->refusal == etcd::Refusal::kUnauthenticated && !config_.user.empty()) {
      etcd::Client known = client_of(server, /*with_user=*/true);
      status = ask(known, etcd::server_status());
    }
    if (!status.failure) {
      const TimePoint asked = monotonic_now();
      (void)ask(stranger, etcd::server_status());
      facts.took = monotonic_now() - asked;
    }
    facts.failure = status.failure;
    facts.status = status.reply;
    return facts;
  }

  // An election of the servers' is over in a moment, and no finding.
  void read_keys(etcd::Client& client, const std::vector<std::string>& keys) {
    const TimePoint until = monotonic_now() + kPatienceWithElection;
    for (bool again = true; again;) {
      facts_.read = ask(client, etcd::range(keys));
      again = facts_.read->failure && !etcd::is_refusal(*facts_.read->failure) && monotonic_now() < until;
      if (again) boost::asio::steady_timer(io_, kBeforeNextRead).wait();
    }
    if (facts_.read->failure) return;
    const TimePoint asked = monotonic_now();  // the connection is there by now
    (void)ask(client, etcd::range(keys));
    facts_.read_took = monotonic_now() - asked;
  }

  void ask_answering_server() {
    const auto answers = std::ranges::find_if(facts_.servers, [](const EtcdServerFacts& server) {
      return !server.failure || etcd::is_refusal(*server.failure);
    });
    if (answers == facts_.servers.end()) return;
    etcd::Client client = client_of(answers->endpoint, /*with_user=*/true);
    const std::string seat = seat_.prefix + "seat";
    const std::string state = seat_.prefix + "state";
    read_keys(client, {seat, state});
    // No key was ever made at this revision.
    facts_.write =
        ask(client, etcd::transaction(
                        {{etcd::Compare::What::kCreateRevision, seat, -1}},
                        {{etcd::Operation::What::kPut, seat, "", 0}, {etcd::Operation::What::kPut, state, "", 0}}, {}));
    facts_.alarms = ask(client, etcd::alarms());
    if (facts_.read->failure) return;
    for (const etcd::Pair& pair : facts_.read->reply.pairs) {
      const etcd::Outcome lease = ask(client, etcd::time_to_live(pair.lease));
      const int64_t seconds = lease.failure ? 0 : std::max<int64_t>(0, lease.reply.seconds);
      if (pair.key == state) {
        facts_.state = true;
        facts_.state_seconds = seconds;
        continue;
      }
      facts_.seat = true;
      facts_.seat_seconds = seconds;
      facts_.holder = etcd::decode_holder(pair.value);
      if (facts_.holder && facts_.holder->addresses.empty()) facts_.holder.reset();
    }
  }

  boost::asio::io_context& io_;
  const EtcdConfig& config_;
  const etcd::SeatConfig seat_;
  EtcdFacts facts_;
};

}  // namespace

EtcdFacts survey_etcd(boost::asio::io_context& io, const RendezvousConfig& config) {
  return EtcdSurvey(io, config).run();
}

}  // namespace ferrun
