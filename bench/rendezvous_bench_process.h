// The processes of rendezvous_bench: one that hosts the coordinator, and some with many agents each. They are told what
// to do by bytes through a pipe, and note what they see on a board of shared memory.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

namespace ferrun::bench {

inline constexpr int kMostGroups = 3;

// Times are nanoseconds of boottime_now().
struct Board {
  std::atomic<uint16_t> port{0};

  // By the coordinator.
  std::atomic<int> acknowledged{0};  // messages that answer the newest Stop
  std::atomic<int64_t> acknowledged_at{0};
  std::atomic<int64_t> server_bytes{0};  // resident
  std::atomic<int64_t> server_cpu{0};    // processor time

  struct Group {
    std::atomic<uint64_t> round{0};  // counted here: the newest number that a member was told
    std::atomic<int> ranked{0};
    std::atomic<int> started{0};
    std::atomic<int64_t> ranked_at{0};
    std::atomic<int64_t> started_at{0};
    std::atomic<int64_t> failed_at{0};
    std::atomic<int64_t> last_began_at{0};  // the last member of the group
    std::atomic<int64_t> bytes{0};
    std::atomic<int64_t> cpu{0};
  };
  Group groups[kMostGroups];
};

Board& make_board();
int64_t now_ns();

// A forked process; it ends with the benchmark.
class Child {
 public:
  // `name` is the process's, for a profiler; `body` gets the reading end of a pipe.
  Child(const char* name, const std::function<void(int commands)>& body);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  void tell(char command);
  void signal(int number);

 private:
  pid_t pid_ = -1;
  int pipe_ = -1;
};

// 'm': notes its processor time and memory. Listens on `address`, and notes the port.
void run_coordinator(Board& board, int nodes, const std::string& address, int commands);

struct GroupPlan {
  int index = 0;  // on the board
  int members = 1;
  uint64_t first_agent = 1;
  std::string from;         // source address of its connections
  bool last_apart = false;  // the last member begins when the others wait
};

// 'g': its members begin; 'm': notes its processor time and memory; 'f': a worker of its first member fails.
void run_members(Board& board, const GroupPlan& plan, const std::string& coordinator, int commands);

}  // namespace ferrun::bench
