#include "rendezvous/coordinator/job_closing.h"

#include <algorithm>

#include "rendezvous/coordinator/job_root_cause.h"
#include "rendezvous/job/wording.h"

namespace ferrun {

bool JobClosing::note_saved(uint64_t ticket) {
  if (ticket == 0 || ticket != ticket_) return false;
  ticket_ = 0;
  return true;
}

void JobClosing::settle(AgentId agent) {
  expected_.erase(agent);
  awaited_.erase(agent);
}

JobClosing::Step JobClosing::step(TimePoint now) const {
  const bool settled = told_ && awaited_.empty() && expected_.empty();
  return settled || now >= until_ ? Step::kFinish : Step::kWait;
}

std::string JobClosing::words() const {
  if (!told_) return end_words(end_) + "; this is being saved";
  return end_words(end_) + "; waiting until " + counted(awaited_.size() + expected_.size(), "node") +
         " have acknowledged it";
}

std::string end_words(const JobEnd& end) {
  switch (end.kind) {
    case JobEnd::Kind::kSuccess: return "the job has succeeded";
    case JobEnd::Kind::kStopped: return "the job was stopped" + (end.report.empty() ? "" : ": " + end.report.back());
    default: break;
  }
  const auto root =
      std::ranges::find_if(end.report, [](const std::string& line) { return line.starts_with(kRootCauseLabel); });
  return "the job has failed" + (root == end.report.end() ? "" : ": " + root->substr(root->find(": ") + 2));
}

}  // namespace ferrun
