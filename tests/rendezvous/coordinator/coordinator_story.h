// A coordinator machine among nodes that a test moves by hand. Nodes answer what they are asked at once, unless the
// test tells them not to; time moves when the test says so, and stops at every deadline on its way.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "rendezvous/coordinator/coordinator_machine.h"

namespace ferrun {

using namespace std::chrono_literals;

struct StoryNode {
  AgentId agent;
  ConnectionId connection = 0;  // 0: none
  bool answers = true;          // Prepare, DialStore, Stop and Close
  bool beats = true;            // while time moves; one that does not answers nothing either
  std::vector<CoordinatorMessage> heard;
  RoundId accepted;
  Assignment assignment;
  Work work = Work::kNone;
  Join join;
};

class CoordinatorStory {
 public:
  using Phase = CoordinatorMachine::Phase;

  explicit CoordinatorStory(CoordinatorConfig its_config, std::optional<CoordinatorState> saved = std::nullopt,
                            std::string no_save = "")
      : config(its_config), machine(its_config, std::move(saved), now), save_error(std::move(no_save)) {
    pump();
  }

  static CoordinatorConfig fixed(int nodes, int max_restarts = 0) {
    CoordinatorConfig made;
    made.min_nodes = made.max_nodes = nodes;
    made.max_restarts = max_restarts;
    made.launch_id = "launch";
    return made;
  }
  static CoordinatorConfig elastic(int least, int most, int max_restarts = 0) {
    CoordinatorConfig made = fixed(least, max_restarts);
    made.max_nodes = most;
    return made;
  }

  StoryNode& node(const std::string& name) {
    const auto [at, is_new] = nodes.try_emplace(name);
    StoryNode& found = at->second;
    if (is_new) {
      found.agent.value = 100 + nodes.size();
      found.join.host = name;
      found.join.addresses = {"10.0.0." + std::to_string(nodes.size())};
      found.join.workers = 2;
      found.join.role = "default";
    }
    return found;
  }

  // Opens a connection, in place of an earlier one of which the coordinator hears nothing, and joins.
  void join(const std::string& name) {
    StoryNode& joining = node(name);
    joining.connection = ++connections_;
    joining.join.past.round = joining.accepted;
    joining.join.past.assignment = joining.assignment;
    joining.join.past.work = joining.work;
    step(PeerArrived{joining.connection, joining.agent, "192.168.0." + std::to_string(joining.agent.value - 100)});
    say(name, joining.join);
  }
  // ferrun is started again on this node: another agent.
  void start_anew(const std::string& name) {
    StoryNode& anew = node(name);
    anew.agent.value += 1000;
    anew.accepted = {};
    anew.work = Work::kNone;
  }
  void join_all(const std::vector<std::string>& names) {
    for (const std::string& name : names) join(name);
  }
  void say(const std::string& name, MemberMessage message) {
    step(PeerSaid{node(name).connection, std::move(message)});
  }
  void lose(const std::string& name, LossKind kind) {
    const ConnectionId connection = std::exchange(node(name).connection, 0);
    step(PeerLost{connection, kind, "connection reset by peer"});
  }
  // Its agent and its workers are gone, and everybody sees it.
  void kill(const std::string& name) { lose(name, LossKind::kEndOfStream); }
  void fail(const std::string& name, FailureKind kind = FailureKind::kExit, int status = 3) {
    say(name, NodeFailed{node(name).accepted, {failure(name, kind, status)}});
  }
  static LocalFailure failure(const std::string& name, FailureKind kind = FailureKind::kExit, int status = 3) {
    LocalFailure made;
    made.kind = kind;
    made.status = ExitStatus::exited(status);
    made.report = {"a worker on " + name + " exited with code " + std::to_string(status)};
    return made;
  }
  void finish(const std::string& name) {
    node(name).work = Work::kFinished;
    say(name, NodeFinished{node(name).accepted});
  }

  // Nodes that beat do so every heartbeat interval.
  void wait(Duration duration) {
    const TimePoint end = now + duration;
    while (true) {
      TimePoint next = std::min(end, beat_at_);
      if (const auto due = machine.next_deadline()) next = std::min(next, *due);
      now = std::max(now, next);
      if (now >= beat_at_) {
        beat_at_ = now + config.heartbeat_interval;
        for (auto& [name, each] : nodes) {
          if (each.connection != 0 && each.beats) step(PeerSaid{each.connection, Heartbeat{++beats_}});
        }
      }
      if (const auto due = machine.next_deadline(); due && *due <= now) step(CoordinatorDeadline{});
      if (now >= end) return;
    }
  }

  void step(const CoordinatorEvent& event) {
    machine.step(event, now);
    pump();
    const auto due = machine.next_deadline();
    EXPECT_TRUE(!due || *due >= now) << "a deadline in the past";
  }

  Phase phase() const { return machine.phase(); }
  RoundId round() const { return machine.round(); }
  std::string reason() const { return machine.reason(); }

  // The last message of its kind that the node has heard; a failing test when there is none.
  template <typename Message>
  const Message& last(const std::string& name) {
    const Message* found = nullptr;
    for (const CoordinatorMessage& message : node(name).heard) {
      if (const Message* wanted = std::get_if<Message>(&message)) found = wanted;
    }
    static const Message kNone{};
    EXPECT_NE(found, nullptr) << name << " has heard none";
    return found == nullptr ? kNone : *found;
  }
  template <typename Message>
  size_t count(const std::string& name) {
    return static_cast<size_t>(std::ranges::count_if(
        node(name).heard, [](const CoordinatorMessage& message) { return std::holds_alternative<Message>(message); }));
  }
  int rank(const std::string& name) { return node(name).assignment.node_rank; }
  bool said(const std::string& part) const {
    return std::ranges::any_of(lines, [&](const std::string& line) { return line.find(part) != std::string::npos; });
  }

  CoordinatorConfig config;
  TimePoint now{1000s};
  CoordinatorMachine machine;
  std::map<std::string, StoryNode> nodes;
  std::vector<std::string> lines;  // for the log
  std::vector<SaveState> saves;    // all that were asked for
  std::string save_error;          // with which they are answered
  bool answers_saves = true;
  std::vector<ConnectionId> disconnected;
  std::optional<CoordinatorDone> done;

 private:
  // Carries out effects until there are none.
  void pump() {
    for (std::vector<CoordinatorEffect> effects = machine.take_effects(); !effects.empty();
         effects = machine.take_effects()) {
      for (const CoordinatorEffect& effect : effects) {
        EXPECT_FALSE(done) << "an effect after the end";
        std::visit([this](const auto& what) { carry_out(what); }, effect);
      }
    }
  }

  void carry_out(const Tell& tell) { deliver(tell.connection, tell.message); }
  void carry_out(const TellAll& tell) {
    for (const ConnectionId connection : tell.connections) deliver(connection, tell.message);
  }
  void carry_out(const Disconnect& disconnect) {
    disconnected.push_back(disconnect.connection);
    for (auto& [name, each] : nodes) {
      if (each.connection == disconnect.connection) each.connection = 0;
    }
  }
  void carry_out(const SaveState& save) {
    saves.push_back(save);
    if (answers_saves) machine.step(StateSaved{save.ticket, save_error}, now);
  }
  void carry_out(const RendezvousSay& say) { lines.push_back(say.line); }
  void carry_out(const CoordinatorDone& end) { done = end; }

  void deliver(ConnectionId connection, const CoordinatorMessage& message) {
    for (auto& [name, each] : nodes) {
      if (each.connection != connection) continue;
      each.heard.push_back(message);
      std::visit([this, &each = each](const auto& what) { act(each, what); }, message);
      return;
    }
  }

  void answer(const StoryNode& from, MemberMessage message) {
    if (from.answers && from.beats) machine.step(PeerSaid{from.connection, std::move(message)}, now);
  }
  void act(StoryNode& to, const Prepare& prepare) {
    EXPECT_GT(prepare.assignment.round, to.accepted) << to.join.host << " has accepted a newer round";
    to.accepted = prepare.assignment.round;
    to.assignment = prepare.assignment;
    Prepared prepared{prepare.assignment.round, {}, 0};
    if (prepare.open_store) {
      prepared.store_addresses = to.join.addresses;
      prepared.store_port = 4711;
    }
    answer(to, prepared);
  }
  void act(StoryNode& to, const DialStore& dial) { answer(to, StoreReached{dial.round, dial.addresses.front()}); }
  void act(StoryNode& to, const Go&) { to.work = Work::kRunning; }
  void act(StoryNode& to, const Stop& stop) {
    if (to.work == Work::kRunning) to.work = Work::kStopping;
    if (!to.answers || !to.beats) return;
    answer(to, StopAcknowledged{stop.round, {}});
    if (to.work == Work::kStopping) to.work = Work::kReaped;
    answer(to, NodeReaped{stop.round});
  }
  void act(StoryNode& to, const Close&) { answer(to, Closed{}); }
  void act(StoryNode&, const Welcome&) {}
  void act(StoryNode&, const Refused&) {}
  void act(StoryNode&, const HeartbeatAnswer&) {}
  void act(StoryNode&, const Waiting&) {}
  void act(StoryNode&, const StatusReply&) {}

  ConnectionId connections_ = 0;
  uint64_t beats_ = 0;
  TimePoint beat_at_ = now + 1s;
};

}  // namespace ferrun
