#include "tests/sim/describe.h"

#include <sstream>

namespace ferrun::sim {
namespace {

template <typename... Parts>
std::string join(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

std::string list(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ", ") + item;
  return text;
}

std::string failures(const std::vector<LocalFailure>& failed) {
  std::string text;
  for (const LocalFailure& failure : failed) {
    text +=
        join("; ", failure.report.empty() ? "?" : failure.report[0], ", ", failure.age.count() / 1'000'000, " ms ago");
  }
  return text;
}

const char* name(StopKind kind) {
  switch (kind) {
    case StopKind::kFailure: return "failure";
    case StopKind::kMembership: return "membership";
    case StopKind::kEnd: return "end";
    case StopKind::kLoss: return "loss";
    case StopKind::kLostPeer: return "lost peer";
  }
  return "?";
}

const char* name(Work work) {
  switch (work) {
    case Work::kNone: return "none";
    case Work::kRunning: return "running";
    case Work::kStopping: return "stopping";
    case Work::kReaped: return "reaped";
    case Work::kFinished: return "finished";
  }
  return "?";
}

std::string past(const MemberPast& past) {
  if (past.round.none()) return "";
  return join(", was in round ", to_string(past.round), " (", name(past.work), ")");
}

struct Describer {
  std::string operator()(const Join& m) {
    return join("Join ", m.workers, " workers", m.node_rank ? join(", wishes rank ", *m.node_rank) : "", past(m.past));
  }
  std::string operator()(const Heartbeat& m) { return join("Heartbeat ", m.number); }
  std::string operator()(const Prepared& m) {
    std::string store;
    if (m.store_port != 0) store = join(", store at ", list(m.store_addresses), " port ", m.store_port);
    return join("Prepared ", to_string(m.round), store);
  }
  std::string operator()(const NotPrepared& m) { return join("NotPrepared ", to_string(m.round), ": ", m.reason); }
  std::string operator()(const StoreReached& m) { return join("StoreReached ", to_string(m.round), " at ", m.address); }
  std::string operator()(const WorkerSucceeded& m) { return join("WorkerSucceeded ", to_string(m.round)); }
  std::string operator()(const NodeFinished& m) { return join("NodeFinished ", to_string(m.round)); }
  std::string operator()(const NodeFailed& m) { return join("NodeFailed ", to_string(m.round), failures(m.failures)); }
  std::string operator()(const StopAcknowledged& m) {
    return join("StopAcknowledged ", to_string(m.round), failures(m.failures));
  }
  std::string operator()(const NodeReaped& m) { return join("NodeReaped ", to_string(m.round)); }
  std::string operator()(const Goodbye& m) { return join("Goodbye, signal ", m.signal, ": ", m.reason); }
  std::string operator()(const Closed&) { return "Closed"; }
  std::string operator()(const StatusRequest&) { return "StatusRequest"; }

  std::string operator()(const Welcome& m) {
    return join("Welcome to incarnation ", m.incarnation, m.resumed ? ", resumed" : "");
  }
  std::string operator()(const Refused& m) {
    const std::string again = m.try_again ? join(" (again after ", m.after.count() / 1'000'000, " ms)") : "";
    return join("Refused: ", m.reason, again);
  }
  std::string operator()(const HeartbeatAnswer& m) { return join("HeartbeatAnswer ", m.number); }
  std::string operator()(const Waiting& m) { return join("Waiting: ", m.sentence); }
  std::string operator()(const Prepare& m) {
    return join("Prepare ", describe(m.assignment), m.open_store ? ", opens the store" : "");
  }
  std::string operator()(const DialStore& m) {
    return join("DialStore ", to_string(m.round), " at ", list(m.addresses), " port ", m.port);
  }
  std::string operator()(const Go& m) { return join("Go ", to_string(m.round), ": ", m.reason); }
  std::string operator()(const Stop& m) {
    return join("Stop ", to_string(m.round), " (", name(m.kind), "): ", m.reason);
  }
  std::string operator()(const Close& m) { return join("Close: ", describe(m.end)); }
  std::string operator()(const StatusReply&) { return "StatusReply"; }
};

}  // namespace

std::string describe(const MemberMessage& message) { return std::visit(Describer{}, message); }
std::string describe(const CoordinatorMessage& message) { return std::visit(Describer{}, message); }

std::string describe(const JobEnd& end) {
  const char* kind = "?";
  switch (end.kind) {
    case JobEnd::Kind::kSuccess: kind = "success"; break;
    case JobEnd::Kind::kFailed: kind = "failed"; break;
    case JobEnd::Kind::kStopped: kind = "stopped"; break;
    case JobEnd::Kind::kRendezvous: kind = "rendezvous"; break;
    case JobEnd::Kind::kRefused: kind = "refused"; break;
  }
  std::string text = join(kind, ", exit status ", end.exit_status);
  for (const std::string& line : end.report) text += " | " + line;
  return text;
}

std::string describe(const Assignment& a) {
  return join("round ", to_string(a.round), ", node ", a.node_rank, " of ", a.node_count, ", first rank ", a.first_rank,
              " of ", a.world, ", restart ", a.restart_count);
}

std::string describe(LossKind kind) {
  switch (kind) {
    case LossKind::kEndOfStream: return "end of stream";
    case LossKind::kReset: return "reset";
    case LossKind::kLocal: return "closed here";
  }
  return "?";
}

}  // namespace ferrun::sim
