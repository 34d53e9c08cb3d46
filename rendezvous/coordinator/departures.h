// Who is not there any more, for the sentence about who is missing; and, after somebody was told to leave by a signal,
// a moment in which others may follow. Pure; owned by the coordinator machine.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "common/time.h"

namespace ferrun {

class Departures {
 public:
  // `what`: "was lost (...)", "has left". What holds until a time, as "is barred", says more than that.
  void note(const std::string& host, std::string what, TimePoint now, std::optional<TimePoint> until = std::nullopt);
  // `line` tells who left; others may follow until `settle_end`.
  void note_signal(int signal, std::string line, TimePoint settle_end);
  // It is there again, and so not all leave.
  void note_return(const std::string& host);
  // A round has started: who is missing in it does not matter any more.
  void clear() { departed_.clear(); }

  // By which the last one left; 0 for none, or when somebody has come since.
  int last_signal() const { return last_signal_; }
  bool settles(TimePoint now) const { return now < settle_end_; }
  TimePoint settle_end() const { return settle_end_; }
  const std::string& settle_line() const { return settle_line_; }

  // A clause each: "node1 was lost (...)"; of a time, how much is left.
  std::vector<std::string> clauses(TimePoint now) const;
  // All that are remembered, without times.
  std::vector<std::string> all() const;

 private:
  struct Departure {
    std::string host;
    std::string what;
    std::optional<TimePoint> until;
  };
  std::deque<Departure> departed_;
  int last_signal_ = 0;
  TimePoint settle_end_ = TimePoint::min();
  std::string settle_line_;
};

}  // namespace ferrun
