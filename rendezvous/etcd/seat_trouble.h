// What is said of an etcd that does not answer as it should: nothing for what is over in a second (its own elections
// take as long), then one line every few seconds, and one when it is over. Pure.
#pragma once

#include <optional>
#include <string>

#include "common/time.h"
#include "rendezvous/etcd/etcd_codec.h"

namespace ferrun::etcd {

struct Trouble {
  std::string line;
  bool over = false;   // it answers again
  bool final = false;  // trying again is of no use
};

class SeatTrouble {
 public:
  explicit SeatTrouble(std::string servers) : servers_(std::move(servers)) {}

  // One request has failed, or has been answered. What is to be said now, if anything.
  std::optional<Trouble> failed(const Failure& failure, TimePoint now);
  std::optional<Trouble> answered();

 private:
  std::string servers_;
  bool has_answered_ = false;
  std::optional<TimePoint> since_;
  std::optional<TimePoint> said_at_;
};

// As an error of whoever wanted something written: what etcd says, and what helps where that is known.
std::string words_of(const Failure& failure);

}  // namespace ferrun::etcd
