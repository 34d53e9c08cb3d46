// What etcd does with the requests of the seat machine: keys, leases, revisions, transactions; on a clock that its
// owner moves. Without a network: who owns it plays that.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "common/time.h"
#include "rendezvous/etcd/etcd_codec.h"

namespace ferrun::etcd {

class EtcdInMemory {
 public:
  struct Key {
    std::string value;
    int64_t created = 0;
    int64_t changed = 0;
    int64_t lease = 0;
  };

  // For mutants: what etcd does not compare.
  bool compares_seat = true;   // the revision at which a key was made, where that is not "never"
  bool compares_state = true;  // that of its last change

  // After each write. May be empty.
  std::function<void(const std::string& key, const std::string& value)> on_put;

  // `now` never goes back.
  Outcome carry_out(const Request& request, Duration now);
  // As after an election: every lease begins anew.
  void begin_leases_anew(Duration now);
  // Null: it is not there.
  const Key* find(const std::string& key) const;

 private:
  struct Lease {
    Duration end{};
    int64_t seconds = 0;
  };

  void expire_leases(Duration now);
  void put(const std::string& key, const std::string& value, int64_t lease);

  std::map<std::string, Key> keys_;
  std::map<int64_t, Lease> leases_;
  int64_t revision_ = 1;
  int64_t last_lease_ = 0;
};

}  // namespace ferrun::etcd
