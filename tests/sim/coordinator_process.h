// A process that coordinates: the real coordinator machine, its connections and its state file. Hosted by an agent it
// shares that agent's fate, alone it has one of its own.
//
// Owned by the World.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/parts.h"
#include "tests/sim/state_file.h"

namespace ferrun::sim {

class CoordinatorProcess {
 public:
  CoordinatorProcess(Parts& parts, uint32_t index, uint32_t host_agent, AgentId host_agent_id, HostIndex host,
                     StateFile& file);

  // It does not run where the state in its file is none that it may use.
  void start();

  // --- The World's events, once the process is there to take them. ---
  void reads(ConnectionIndex connection, Parcel parcel);
  void loses(ConnectionIndex connection, LossKind kind, const std::string& why);
  void deadline(uint64_t generation);
  void saved(uint64_t ticket);
  void saved_in_etcd(uint64_t save, const std::string& error);
  // The seat is given up; that was the last to be done.
  void seat_ended() { end_ = news_ = last_word_; }
  void signal(int number);

  // --- What happens whether the process can take it or not. ---
  // Its sockets are closed by the kernel, without a word.
  void kill();
  void vanish();
  void stall(TrueTime until) { stalled_until_ = std::max(stalled_until_, until); }

  bool running() const { return running_; }
  // It has nothing more to decide.
  bool has_finished() const { return end_.has_value() || last_word_.has_value(); }
  // Nobody needs it any more.
  bool done() const { return end_.has_value(); }
  // Once, when it is.
  std::optional<JobEnd> take_end() { return std::exchange(news_, std::nullopt); }
  bool told_to_stop() const { return told_to_stop_; }
  uint32_t host_agent() const { return host_agent_; }
  TrueTime stalled_until() const { return stalled_until_; }
  const CoordinatorMachine& machine() const { return *machine_; }
  HostIndex host() const { return host_; }
  // In how many steps it has done what faults wait for.
  int seen(Trigger trigger) const { return seen_[static_cast<size_t>(trigger)]; }

 private:
  void step(const CoordinatorEvent& event, TrueTime sent);
  // While it lives, and is an agent's, it touches its file every now and then.
  void leave_file();
  void step_machine(const CoordinatorEvent& event, CoordinatorMachine::Phase before);
  void plan_deadline();
  void carry_out(const CoordinatorEffect& effect);
  void tell(ConnectionId connection, const Told& told);
  void note_trigger(const CoordinatorMessage& message);
  void count_triggers();
  void say(const std::string& line) { parts_.trace.line(parts_.now, "coordinator", line); }

  Parts& parts_;
  uint32_t index_;
  uint32_t host_agent_;
  HostIndex host_;
  StateFile& file_;
  bool running_ = false;
  std::optional<JobEnd> end_;
  std::optional<JobEnd> news_;
  std::optional<JobEnd> last_word_;  // with etcd, before the seat is given up
  bool told_to_stop_ = false;
  TrueTime stalled_until_{};
  CoordinatorConfig config_;
  std::unique_ptr<CoordinatorMachine> machine_;
  std::vector<ConnectionIndex> connections_;
  std::set<ConnectionIndex> sessions_;  // those that have come through the handshake
  std::vector<SaveState> saves_;
  TrueTime disk_free_at_{};  // one after the other
  std::vector<CoordinatorEvent> answers_;
  std::optional<TimePoint> planned_deadline_;
  uint64_t deadlines_ = 0;
  std::array<int, kTriggers> seen_{};
  std::array<bool, kTriggers> in_this_step_{};
};

}  // namespace ferrun::sim
