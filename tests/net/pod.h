// A container as Kubernetes runs it, on one of the tests' hosts: the program is the first process of its process
// namespace, has a uid that no passwd file knows, no capability and no new privileges, a root file system that cannot
// be written to with an empty folder at /tmp, a volume at /data, a termination message file, and the host's network.
// Needs root.
#pragma once

#include <csignal>
#include <map>
#include <string>
#include <vector>

#include "tests/net/host_program.h"
#include "tests/net/test_network.h"
#include "tests/temporary_directory.h"

namespace ferrun::testing {

// What the cluster's name service and the kubelet say: /etc/hosts of every pod, read anew at each look-up.
class PodNames {
 public:
  PodNames();
  // `NAME.SERVICE` and `NAME` are the host's address from now on.
  void publish(const std::string& name, int host, const std::string& service = "emotion");
  std::string path() const { return directory_.file("hosts"); }

 private:
  const TemporaryDirectory directory_;
  std::map<std::string, std::string> lines_;
};

// A group of the memory controller's, with a limit, as a container with one is in.
class MemoryGroup {
 public:
  explicit MemoryGroup(size_t mebibytes);
  ~MemoryGroup();
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;

  // Why there is none; empty when there is.
  const std::string& problem() const { return problem_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::string problem_;
};

struct PodOptions {
  bool scratch = true;            // /tmp is an emptyDir
  std::string memory_group = {};  // MemoryGroup::path()
};

class Pod {
 public:
  // Runs `ferrun ARGUMENTS` with these variables and those of every pod.
  Pod(const TestNetwork& network, int host, const PodNames& names, const std::string& name,
      const std::vector<std::string>& arguments, const HostProgram::Variables& variables = {},
      const PodOptions& options = {});

  // To the first process alone, as a kubelet does.
  void send(int signal) const;
  // As a kubelet does at the end of the grace, and as it ends with its machine.
  void kill() const { send(SIGKILL); }
  int wait() { return program_.wait().shell_code(); }
  bool wait_for(const std::string& text, int times = 1) { return program_.wait_for(text, times); }
  std::string output() const { return program_.output(); }
  std::string termination_message() const { return read("termination-log"); }
  // A file of its volume, in the pod /data/NAME; empty where there is none.
  std::string read(const std::string& name) const;
  std::string file(const std::string& name) const { return volume_.file(name); }

 private:
  std::string prepare() const;

  const TemporaryDirectory volume_;
  HostProgram program_;
};

// Why pods cannot be played here; empty when they can.
std::string pod_problem();

}  // namespace ferrun::testing
