#include "rendezvous/coordinator/departures.h"

#include <algorithm>
#include <utility>

#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

constexpr size_t kDeparturesKept = 16;

}  // namespace

void Departures::note(const std::string& host, std::string what, TimePoint now, std::optional<TimePoint> until) {
  std::erase_if(departed_, [&](const Departure& each) {
    return each.host == host && (until || !each.until || now >= *each.until);
  });
  if (std::ranges::find(departed_, host, &Departure::host) != departed_.end()) return;  // barred says more
  departed_.push_back({host, std::move(what), until});
  if (departed_.size() > kDeparturesKept) departed_.pop_front();
}

void Departures::note_signal(int signal, std::string line, TimePoint settle_end) {
  last_signal_ = signal;
  settle_line_ = std::move(line);
  settle_end_ = settle_end;
}

void Departures::note_return(const std::string& host) {
  std::erase_if(departed_, [&host](const Departure& each) { return each.host == host; });
  last_signal_ = 0;
}

std::vector<std::string> Departures::clauses(TimePoint now) const {
  std::vector<std::string> clauses;
  for (const Departure& departure : departed_) {
    if (departure.until && now >= *departure.until) continue;
    clauses.push_back(departure.host + " " + departure.what +
                      (departure.until ? " for " + in_words(*departure.until - now) : ""));
  }
  return clauses;
}

std::vector<std::string> Departures::all() const {
  std::vector<std::string> clauses;
  for (const Departure& departure : departed_) clauses.push_back(departure.host + " " + departure.what);
  return clauses;
}

}  // namespace ferrun
