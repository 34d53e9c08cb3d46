#include "tests/net/sandbox.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace ferrun::testing {
namespace {

std::string failed(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

void write_file(const char* path, const std::string& text) { std::ofstream(path) << text; }

}  // namespace

std::string enter_network_sandbox() {
  const uid_t user = geteuid();
  const gid_t group = getegid();
  if (user != 0) {
    if (unshare(CLONE_NEWUSER) != 0) return failed("no user namespace for an ordinary user");
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", "0 " + std::to_string(user) + " 1\n");
    write_file("/proc/self/gid_map", "0 " + std::to_string(group) + " 1\n");
  }
  if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) return failed("no network namespace");
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return failed("no private mounts");
  // `ip netns` keeps its names in /run/netns.
  if (mount("hosts", "/run", "tmpfs", 0, nullptr) != 0) return failed("no tmpfs on /run");
  return {};
}

}  // namespace ferrun::testing
