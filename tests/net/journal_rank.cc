// A worker for tests of several nodes: it writes down that it runs, looks whether a worker of another group is still
// alive anywhere, meets its group in the store, and works until it is told what to do.
//
//   journal_rank JOURNAL
//
// JOURNAL is a folder that all hosts see. Files in it tell workers what to do: `finish` ends them with 0, `fail-RANK`
// ends that rank with 3 (and is removed by it). `violations` gets a line for every worker of another group that still
// lives. stdout says "group of WORLD is complete: rank R ..." once every rank has been counted in the store.
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/rendezvous/store/store_messages.h"

namespace {

namespace fs = std::filesystem;
using namespace ferrun;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

// State and start time of a process, from /proc: a pid alone may be another process's by now.
struct Process {
  char state = 'X';
  std::string started;
};

Process process(const std::string& pid) {
  std::ifstream in("/proc/" + pid + "/stat");
  std::string line;
  std::getline(in, line);
  const size_t after_name = line.rfind(')');
  if (after_name == std::string::npos) return {};
  std::istringstream fields(line.substr(after_name + 1));
  Process found;
  fields >> found.state;
  std::string field;
  for (int number = 4; number <= 22; ++number) fields >> field;  // starttime is the 22nd field of the line
  found.started = field;
  return found;
}

bool alive(const Process& now, const std::string& started) {
  return now.state != 'X' && now.state != 'Z' && now.started == started;
}

// One file for each worker: "GROUP PID STARTED".
void write_down(const fs::path& journal, const std::string& group) {
  const std::string pid = std::to_string(getpid());
  const fs::path final_name = journal / "workers" / (pid + "-" + process("self").started);
  std::ofstream(final_name.string() + ".new") << group << " " << pid << " " << process("self").started << "\n";
  fs::rename(final_name.string() + ".new", final_name);
}

void look_for_others(const fs::path& journal, const std::string& group) {
  for (const fs::directory_entry& entry : fs::directory_iterator(journal / "workers")) {
    std::ifstream in(entry.path());
    std::string other_group, pid, started;
    if (!(in >> other_group >> pid >> started) || other_group == group) continue;
    if (!alive(process(pid), started)) continue;
    std::ofstream(journal / "violations", std::ios::app)
        << "a worker of group " << group << " met pid " << pid << " of group " << other_group << "\n";
  }
}

// Blocking, as torch's own client: the store has to be there before any worker.
int connect_to_store() {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(variable("MASTER_ADDR").c_str(), variable("MASTER_PORT").c_str(), &hints, &found) != 0) return -1;
  int fd = -1;
  for (const addrinfo* at = found; at != nullptr && fd < 0; at = at->ai_next) {
    fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, at->ai_addr, at->ai_addrlen) == 0) break;
    close(fd);
    fd = -1;
  }
  freeaddrinfo(found);
  return fd;
}

bool receive(int fd, void* into, size_t size) {
  auto* at = static_cast<char*>(into);
  while (size > 0) {
    const ssize_t got = recv(fd, at, size, 0);
    if (got <= 0) return false;
    at += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

// Adds this rank to the count, waits for the last one: false when the store is lost.
bool meet_group(int world) {
  using namespace store_messages;
  const int fd = connect_to_store();
  if (fd < 0) return false;
  const std::string join = validate() + add("/count", 1);
  int64_t count = 0;
  if (send(fd, join.data(), join.size(), MSG_NOSIGNAL) < 0 || !receive(fd, &count, sizeof count)) return false;
  std::string then;
  if (count == world) then = store_messages::set("/complete", "1");
  then += wait({"/complete"});
  char answer = 1;
  return send(fd, then.data(), then.size(), MSG_NOSIGNAL) > 0 && receive(fd, &answer, 1) && answer == 0;
}

}  // namespace

int main(int, char** argv) {
  const fs::path journal = argv[1];
  fs::create_directories(journal / "workers");
  const std::string rank = variable("RANK");
  const std::string world = variable("WORLD_SIZE");
  const std::string group = variable("FERRUN_LAUNCH_ID") + ":" + variable("FERRUN_ROUND");
  write_down(journal, group);
  look_for_others(journal, group);
  if (!meet_group(std::stoi(world))) {
    std::fprintf(stderr, "rank %s lost the store\n", rank.c_str());
    return 4;
  }
  std::printf("group of %s is complete: rank %s node %s restart %s at %s\n", world.c_str(), rank.c_str(),
              variable("GROUP_RANK").c_str(), variable("TORCHELASTIC_RESTART_COUNT").c_str(),
              variable("MASTER_ADDR").c_str());
  std::fflush(stdout);
  for (;;) {
    if (fs::exists(journal / "finish")) return 0;
    if (fs::remove(journal / ("fail-" + rank))) return 3;
    poll(nullptr, 0, 10);
  }
}
