// Jobs that meet in a real etcd on this machine: scripts/etcd-cluster starts it, and where it cannot the tests skip
// with its reason.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/nodes_run.h"

namespace ferrun::testing {

// Servers for as long as this lives.
class EtcdServers {
 public:
  enum class Speak { kPlain, kTls };
  explicit EtcdServers(int count, const std::string& flags = "", Speak speak = Speak::kPlain);
  ~EtcdServers();

  const std::string& why_not() const { return why_not_; }  // empty: they are there
  const std::string& endpoints() const { return endpoints_; }
  // Of those that scripts/etcd-cluster makes for TLS.
  std::string file(const std::string& name) const { return folder_.file("etcd/" + name); }
  pid_t pid(int server) const;
  void signal(int server, int number) const;
  // The one that leads now.
  int leader() const;
  // etcdctl's output.
  std::string ask(std::vector<std::string> words) const;

 private:
  TemporaryDirectory folder_;
  std::string why_not_;
  std::string endpoints_;
  int count_;
};

class Etcd : public WaitingNodes {
 protected:
  // Waiting agents of the job `id`.
  std::unique_ptr<Program> meet(const std::string& nnodes, const std::string& id, Words options = {}) const;
  std::vector<std::unique_ptr<Program>> meet_all(int count, const std::string& id) const;
  // The place in the list of who coordinates the job, once somebody does; beside `other`, if that did before.
  static size_t coordinator_of(const std::vector<std::unique_ptr<Program>>& agents, size_t other = SIZE_MAX);

  std::string endpoints;
};

}  // namespace ferrun::testing
