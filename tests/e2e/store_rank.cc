// store_rank sum | restarts: a small C++ rank that meets the others through the launcher's store, for tests and
// benchmarks. It can be forked from a template, as the trainer can.
//
// sum: all-reduces rank + 1 and prints "rank R of W: sum S".
// restarts: in every attempt but the last one rank kills itself while a collective is under way. Every rank prints
// "up ATTEMPT RANK NANOSECONDS" after its first all-reduce and "kill ATTEMPT RANK NANOSECONDS" before it dies.
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>

#include "common/environment.h"
#include "ferrun/client.h"
#include "worker/ddp/process_group.h"

namespace {

using namespace ferrun;
using Group = std::shared_ptr<ddp::ProcessGroup>;

// One write for each line: lines of ranks that share a pipe do not mix.
void say(const std::string& line) {
  const std::string whole = line + "\n";
  if (::write(STDOUT_FILENO, whole.data(), whole.size()) < 0) ::_exit(3);
}

std::string now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::to_string(now.tv_sec * 1'000'000'000LL + now.tv_nsec);
}

float all_reduced(ddp::ProcessGroup& group, float value) {
  at::Tensor tensor = at::full({1}, value);
  group.all_reduce_sum(tensor);
  return *tensor.data_ptr<float>();
}

int sum(ddp::ProcessGroup& group) {
  const float result = all_reduced(group, static_cast<float>(group.rank() + 1));
  say("rank " + std::to_string(group.rank()) + " of " + std::to_string(group.world_size()) + ": sum " +
      std::to_string(static_cast<int>(result)));
  group.shut_down();
  return 0;
}

int restarts(ddp::ProcessGroup& group, const client::Context& place) {
  constexpr int64_t kManyElements = 4 << 20;
  const std::string who = " " + std::to_string(place.restart_count) + " " + std::to_string(group.rank()) + " ";
  if (all_reduced(group, 1.0F) != static_cast<float>(group.world_size())) return 4;
  say("up" + who + now_ns());
  if (place.restart_count == place.max_restarts) {
    group.barrier();
    group.shut_down();
    return 0;
  }
  at::Tensor large = at::ones({kManyElements});
  const ddp::Wait wait = group.start_all_reduce_sum(large);
  if (group.rank() == place.restart_count % group.world_size()) {
    say("kill" + who + now_ns());
    ::kill(::getpid(), SIGKILL);
  }
  while (true) {  // until the loss is noticed here, or the launcher stops this rank
    wait();
    group.barrier();
  }
}

int run(const std::string& mode) {
  const client::Context place = client::context_from_environment();
  const auto address = ddp::group_address_from(Environment::from_block(environ));
  if (!address.ok()) {
    say(address.error().message);
    return 2;
  }
  const Result<Group> group = ddp::ProcessGroup::create(*address, {});
  if (!group.ok()) {
    say(group.error().message);
    return 5;
  }
  return mode == "sum" ? sum(**group) : restarts(**group, place);
}

}  // namespace

int main(int argc, char** argv) {
  FERRUN_FORK_POINT();
  int status = 1;
  try {
    status = run(argc > 1 ? argv[1] : "sum");
  } catch (const std::exception& error) {
    say(std::string("failed: ") + std::string(error.what()).substr(0, 200));
  }
  ::_exit(status);  // a Gloo group that has lost a peer may wait in its destructor
}
