// What a real sshd and ssh of a test need: keys, and a configuration for each in a folder of the test's. The programs
// are the caller's to start.
#pragma once

#include <string>
#include <vector>

#include "tests/temporary_directory.h"

namespace ferrun::testing {

inline constexpr const char* kSshd = "/usr/sbin/sshd";

// Why there is no sshd here; empty when there is.
std::string ssh_problem();

class SshFiles {
 public:
  struct Host {
    std::string name;     // a pattern of ssh_config(5)
    std::string address;  // where ssh calls
    int port = 0;
  };

  // sshd listens at `address` and `port`. Of `hosts` the first that fits a name counts. Throws std::runtime_error.
  SshFiles(const std::string& address, int port, const std::vector<Host>& hosts);

  // The server in the foreground; it says "Server listening" once it does.
  std::vector<std::string> server() const { return {kSshd, "-D", "-e", "-f", folder_.file("sshd_config")}; }
  // For ferrun's --ssh; a server that is silent for 3 s has gone.
  std::string client() const { return "ssh -F " + folder_.file("ssh_config"); }

 private:
  const TemporaryDirectory folder_;
};

}  // namespace ferrun::testing
