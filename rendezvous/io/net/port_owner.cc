#include "rendezvous/io/net/port_owner.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <sstream>
#include <system_error>

#include "common/io/small_file.h"
#include "common/text.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kListening = "0A";
// Room for a hundred thousand sockets.
constexpr size_t kMostTableBytes = size_t{16} << 20;

bool holds_any(const fs::path& process, const std::vector<std::string>& sockets) {
  std::error_code error;
  for (fs::directory_iterator entry(process / "fd", error), end; !error && entry != end; entry.increment(error)) {
    std::error_code gone;
    const std::string target = fs::read_symlink(entry->path(), gone).string();
    if (!gone && std::find(sockets.begin(), sockets.end(), target) != sockets.end()) return true;
  }
  return false;
}

bool is_process(const fs::path& path) {
  const std::string name = path.filename().string();
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::vector<uint64_t> listening_inodes(std::string_view table, uint16_t port) {
  std::vector<uint64_t> inodes;
  std::istringstream lines{std::string(table)};
  std::string line;
  while (std::getline(lines, line)) {
    // slot, local address, remote address, state, queues, timer, retransmits, user, timeout, inode
    std::istringstream words(line);
    std::string slot, local, remote, state, skipped;
    uint64_t inode = 0;
    if (!(words >> slot >> local >> remote >> state >> skipped >> skipped >> skipped >> skipped >> skipped >> inode))
      continue;
    const size_t colon = local.rfind(':');
    if (state != kListening || colon == std::string::npos) continue;
    uint16_t found = 0;
    const char* end = local.data() + local.size();
    if (std::from_chars(local.data() + colon + 1, end, found, 16).ptr == end && found == port) inodes.push_back(inode);
  }
  return inodes;
}

std::optional<std::string> port_owner(uint16_t port) {
  std::vector<std::string> sockets;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    for (const uint64_t inode : listening_inodes(read_small_file(table, kMostTableBytes).bytes, port)) {
      sockets.push_back("socket:[" + std::to_string(inode) + "]");
    }
  }
  if (sockets.empty()) return std::nullopt;
  std::error_code error;
  for (fs::directory_iterator entry("/proc", error), end; !error && entry != end; entry.increment(error)) {
    if (!is_process(entry->path()) || !holds_any(entry->path(), sockets)) continue;
    const std::string program = read_small_file(entry->path() / "comm").bytes;  // empty where it is gone by now
    return "pid " + entry->path().filename().string() + " (" + std::string(strip(program)) + ")";
  }
  return std::nullopt;
}

}  // namespace ferrun
