// What was tried to reach the coordinator, as one line for a person: "node0 (10.0.0.1) refused the connection 12 times
// in 40 s". Pure; owned by whoever dials.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/endpoint.h"
#include "common/time.h"
#include "rendezvous/job/ip_address.h"
#include "rendezvous/member/member_events.h"

namespace ferrun {

class DialJournal {
 public:
  explicit DialJournal(Endpoint endpoint) : endpoint_(std::move(endpoint)) {}

  void not_resolved(const std::string& why, TimePoint now);
  // The addresses that are tried from now on.
  void resolved(const std::vector<IpAddress>& addresses);

  // `what`: the predicate of a sentence about the address, "refused the connection".
  void failed(const IpAddress& address, const std::string& what, TimePoint now);
  // A coordinator is there, and no session with it will come up, as `line` says of it: "it has another job token".
  void turned_away(const IpAddress& address, const std::string& line, TimePoint now);

  // The line, when it differs from the last one that was taken. One that differs in numbers alone is worth telling once
  // a second. Final once an address has turned this node away for a while: what is there may be another job that ends.
  std::optional<DialNote> take_note(TimePoint now);

  // How the coordinator is called: "node0 (10.0.0.1), port 29400".
  std::string where(const IpAddress& address) const;

 private:
  struct Trouble {
    std::string what;  // empty: not tried yet
    bool turned_away = false;
    int times = 0;
    TimePoint since;
    TimePoint newest;
  };

  static void note(Trouble& trouble, const std::string& what, bool turned_away, TimePoint now);
  std::string name(const IpAddress& address) const;
  std::string line() const;
  bool is_final() const;

  Endpoint endpoint_;
  Trouble name_;
  std::map<IpAddress, Trouble> addresses_;
  std::string told_kind_;
  TimePoint told_at_{};
  bool told_final_ = false;
};

}  // namespace ferrun
