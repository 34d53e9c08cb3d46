// How `ferrun status` asks an agent of this machine: a Unix socket in the runtime folder, for its owner alone. Whoever
// connects is answered with one line of JSON, {"job": ID, "agent": PID, "status": …}, and the connection ends.
#pragma once

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/time.h"
#include "launcher/report/status_report.h"

namespace ferrun {

// The agent's side. Ownership: owned by the node driver, on the thread that runs `io`, as is the callback.
class StatusSocket {
 public:
  // Somebody asks; answer() is to be called with this id.
  using OnAsked = std::function<void(uint32_t id)>;

  // Listens in `folder`, which is this user's alone (runtime_folder.h), under a name that no other agent has, so that
  // nothing has to be removed first. Removes its socket when it goes. While no connection can be accepted, for want of
  // descriptors, it tries again now and then.
  static Result<std::unique_ptr<StatusSocket>> listen(boost::asio::io_context& io, const std::filesystem::path& folder,
                                                      std::string job_id, OnAsked on_asked);
  ~StatusSocket();

  // `status` is the job's state as JSON (job_status.h). An id that nobody waits for is ignored.
  void answer(uint32_t id, const std::string& status);

 private:
  struct Impl;
  explicit StatusSocket(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

struct AgentAnswers {
  std::vector<AgentStatus> agents;
  std::vector<std::string> refused;  // a line for each folder that is not this user's alone, and each useless answer
};

// The answers of all agents below `folders`, of each that answers within `patience`. What is no answer is left out.
// Removes sockets that nobody listens on any more. Blocks.
AgentAnswers ask_agents(const std::vector<std::filesystem::path>& folders, Duration patience);

}  // namespace ferrun
