// The end of the job: saved, told to everybody, acknowledged by everybody who can be heard. Pure; owned by the
// coordinator machine from the decision that the job has ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "common/time.h"
#include "rendezvous/job/failure.h"
#include "rendezvous/job/ids.h"

namespace ferrun {

class JobClosing {
 public:
  JobClosing(JobEnd end, TimePoint until) : end_(std::move(end)), until_(until) {}

  // A state with the end is being saved. No second attempt is made: members hear of the end in any case.
  void note_saving(uint64_t ticket) { ticket_ = ticket; }
  // Whether the answer was to that state.
  bool note_saved(uint64_t ticket);
  // From now on members are told.
  void note_told() { told_ = true; }
  bool is_told() const { return told_; }

  // A member from before a restart of the coordinator, which may come to hear the end.
  void expect(AgentId agent) { expected_.insert(agent); }
  void note_arrival(AgentId agent) { expected_.erase(agent); }
  // It was told, and is to acknowledge.
  void await(AgentId agent) { awaited_.insert(agent); }
  // It has, or never will.
  void settle(AgentId agent);

  enum class Step { kWait, kFinish };
  Step step(TimePoint now) const;
  TimePoint until() const { return until_; }

  const JobEnd& end() const { return end_; }
  // One sentence: how the job ended, and what is waited for.
  std::string words() const;

 private:
  JobEnd end_;
  TimePoint until_;
  uint64_t ticket_ = 0;
  bool told_ = false;
  std::set<AgentId> awaited_;
  std::set<AgentId> expected_;
};

// "the job has failed: node1: rank 3 exited with code 1".
std::string end_words(const JobEnd& end);

}  // namespace ferrun
