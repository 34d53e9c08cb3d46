// A rank's program from its beginning to its end:
//
//   int main() {
//     return ferrun::ddp::run([](const std::shared_ptr<ferrun::ddp::ProcessGroup>& group) {
//       ferrun::ddp::DistributedDataParallel<Net> net(Net(), group);
//       …
//     });
//   }
//
// Thread rule: the main thread, once; `body` runs on it.
#pragma once

#include <functional>
#include <memory>
#include <stdexcept>

#include "common/result.h"
#include "worker/ddp/process_group.h"

namespace ferrun::ddp {

// The value, or its error's line as std::runtime_error: for programs that have nothing else to do with it.
template <typename T>
T value_or_throw(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(result).value();
}

// The group that the environment of ferrun and torchrun names, without them a world of one. Throws std::runtime_error
// with one line: which variable is wrong, which ranks did not join in time.
std::shared_ptr<ProcessGroup> init_process_group(const GroupOptions& options = {});

// What main returns. Makes the group, calls `body` and shuts the group down: 0. What `body` throws, and a group that
// does not come up, becomes one line on the standard error stream and in the launcher's error file that names the rank
// at fault (ProcessGroup::explain), and status 1: by _exit, since threads of Gloo may wait for a lost peer. So ends a
// process that Gloo aborts, unless `options.on_abort` says otherwise.
int run(const std::function<void(const std::shared_ptr<ProcessGroup>& group)>& body, GroupOptions options = {});

}  // namespace ferrun::ddp
