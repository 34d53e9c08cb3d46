// Messages for tests: one of each kind that looks like a real one, and random ones.
#pragma once

#include <limits>
#include <optional>
#include <random>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "rendezvous/wire/message_fields.h"
#include "rendezvous/wire/messages.h"

namespace ferrun::message_examples {

inline LocalFailure failure() {
  LocalFailure failure;
  failure.local_rank = 1;
  failure.rank = 5;
  failure.kind = FailureKind::kSignal;
  failure.status = ExitStatus::signaled(11, true);
  failure.age = std::chrono::milliseconds(12);
  failure.report = {"rank 5 (local_rank 1, pid 4711) was killed by SIGSEGV", "last lines of its stderr:"};
  return failure;
}

inline Assignment assignment() {
  return {.round = {1, 7},
          .node_rank = 1,
          .node_count = 4,
          .first_rank = 8,
          .world = 32,
          .first_role_rank = 8,
          .role_world = 32,
          .restart_count = 2};
}

inline Join join() {
  Join join;
  join.host = "node1";
  join.addresses = {"10.0.0.2", "fe80::1%eth0"};
  join.workers = 8;
  join.role = "default";
  join.node_rank = 1;
  join.terms = {{"--nnodes", "2:4"}, {"--max-restarts", "3"}};
  join.past = {{1, 7}, Work::kRunning, assignment(), 2, "launch", true};
  return join;
}

inline std::vector<MemberMessage> of_members() {
  const RoundId round{1, 7};
  return {join(),
          Heartbeat{41},
          Prepared{round, {"10.0.0.1"}, 29400},
          NotPrepared{round, "no port is free"},
          StoreReached{round, "10.0.0.1"},
          WorkerSucceeded{round},
          NodeFinished{round},
          NodeFailed{round, {failure()}},
          StopAcknowledged{round, {failure(), failure()}},
          NodeReaped{round},
          Goodbye{15, "told to stop by SIGTERM"},
          Closed{},
          StatusRequest{3}};
}

inline std::vector<CoordinatorMessage> of_coordinators() {
  using namespace std::chrono_literals;
  const RoundId round{1, 7};
  return {Welcome{2, true, 5s, 1s, "launch", true},
          Refused{"--max-restarts is 3 on node0 and 0 here", true, 10s},
          HeartbeatAnswer{41},
          Waiting{"waiting for 1 of 4 nodes", true},
          Prepare{assignment(), true, {"10.0.0.1", "10.0.0.2"}},
          DialStore{round, {"10.0.0.1"}, 29401},
          Go{round, "node3 joined"},
          Stop{round, StopKind::kLoss, "node2 was lost"},
          Close{{JobEnd::Kind::kFailed, 139, {"rank 5 was killed"}}},
          StatusReply{3, "{}"}};
}

// Fills every field that goes over the wire with any value within its limits.
class RandomFields {
 public:
  explicit RandomFields(uint32_t seed) : random_(seed) {}

  template <typename Message>
  Message make() {
    while (true) {
      Message message;
      valid_ = true;
      wire::fields(*this, message);
      if (valid_) return message;
    }
  }

  template <typename... Messages>
  std::variant<Messages...> any(std::type_identity<std::variant<Messages...>>) {
    const size_t chosen = random_() % sizeof...(Messages);
    std::variant<Messages...> message;
    size_t at = 0;
    ((at++ == chosen ? void(message = make<Messages>()) : void()), ...);
    return message;
  }

  void integer(std::integral auto& value, const char*) {
    value = static_cast<std::remove_reference_t<decltype(value)>>(random_());
  }
  void flag(bool& value, const char*) { value = random_() % 2 == 0; }
  template <typename Enum>
  void word(Enum& value, Enum last, const char*) {
    value = static_cast<Enum>(below(static_cast<uint64_t>(last) + 1));
  }
  void count(int& value, int least, const char*, int most = std::numeric_limits<int>::max()) {
    value = least + static_cast<int>(below(static_cast<uint64_t>(most) - static_cast<uint64_t>(least)));
  }
  void duration(Duration& value, const char*) { value = Duration(below(uint64_t{1} << 50)); }
  void check(bool holds, const char*) { valid_ = valid_ && holds; }
  void optional_count(std::optional<int>& value, const char* what) {
    if (random_() % 2 == 0) count(value.emplace(), 0, what);
  }
  void text(std::string& value, size_t limit, const char*) {
    value.resize(below(std::min<size_t>(limit, 40)));
    for (char& byte : value) byte = static_cast<char>(random_());
  }
  void texts(std::vector<std::string>& values, size_t most, size_t limit, const char* what) {
    values.resize(below(std::min<size_t>(most, 20)));
    for (std::string& value : values) text(value, limit, what);
  }
  template <typename Item>
  void list(std::vector<Item>& items, size_t least, size_t most, const char*) {
    items.resize(least + below(std::min<size_t>(most, 8) - least));
    for (Item& item : items) wire::fields(*this, item);
  }
  void exit_status(ExitStatus& status) {
    const auto number = static_cast<int>(below(256));
    status = random_() % 2 == 0 ? ExitStatus::exited(number) : ExitStatus::signaled(number, random_() % 2 == 0);
  }
  void failure_report(std::vector<std::string>& lines) { texts(lines, 20, 200, ""); }
  void end_report(std::vector<std::string>& lines) { texts(lines, 20, 200, ""); }

 private:
  uint64_t below(uint64_t end) { return random_() % end; }
  std::mt19937_64 random_;
  bool valid_ = true;
};

}  // namespace ferrun::message_examples
