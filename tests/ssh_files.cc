#include "tests/ssh_files.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace ferrun::testing {

std::string ssh_problem() {
  return access(kSshd, X_OK) == 0 ? "" : "there is no sshd; scripts/setup --with-engines installs it";
}

SshFiles::SshFiles(const std::string& address, int port, const std::vector<Host>& hosts) {
  std::filesystem::permissions(folder_.path(), std::filesystem::perms(0755));
  if (geteuid() == 0) std::filesystem::create_directories("/run/sshd");
  for (const char* const key : {"host_key", "user_key"}) {
    const std::string command = "ssh-keygen -q -t ed25519 -N '' -f '" + folder_.file(key) + "'";
    if (std::system(command.c_str()) != 0) throw std::runtime_error("cannot make a key: " + command);
  }
  std::ofstream(folder_.file("sshd_config"))
      << "Port " << port << "\nListenAddress " << address << "\nHostKey " << folder_.file("host_key")
      << "\nAuthorizedKeysFile " << folder_.file("user_key.pub")
      << "\nStrictModes no\nUsePAM no\nPidFile none\nMaxStartups 100\n";
  std::ofstream config(folder_.file("ssh_config"));
  for (const Host& host : hosts) {
    config << "Host " << host.name << "\n  HostName " << host.address << "\n  Port " << host.port << '\n';
  }
  config
      << "Host *\n  IdentityFile " << folder_.file("user_key")
      << "\n  BatchMode yes\n  ServerAliveInterval 1\n  UserKnownHostsFile /dev/null\n  StrictHostKeyChecking no\n  LogLevel ERROR\n";
}

}  // namespace ferrun::testing
