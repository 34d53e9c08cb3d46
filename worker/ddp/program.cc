#include "worker/ddp/program.h"

#include <ferrun/client.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>
#include <utility>

#include "common/environment.h"
#include "worker/ddp/group_address.h"

namespace ferrun::ddp {
namespace {

// `group`: null when it has not come up.
[[noreturn]] void end_with(const Failure& failure, const std::shared_ptr<ProcessGroup>& group) {
  const bool lost = failure.cause != FailureCause::kOther;
  const client::Cause own = group ? client::Cause::kOwn : client::Cause::kUnsaid;
  client::report_error(failure.message, lost ? client::Cause::kLostPeer : own);
  std::string who = group ? "rank " + std::to_string(group->rank()) + ": " : "";
  if (failure.message.starts_with(who)) who.clear();  // it names this rank already
  std::fflush(stdout);
  std::fprintf(stderr, "%s%s\n", who.c_str(), failure.message.c_str());
  _exit(1);
}

}  // namespace

std::shared_ptr<ProcessGroup> init_process_group(const GroupOptions& options) {
  const GroupAddress address = value_or_throw(group_address_from(Environment::from_block(environ)));
  return value_or_throw(ProcessGroup::create(address, options));
}

int run(const std::function<void(const std::shared_ptr<ProcessGroup>& group)>& body, GroupOptions options) {
  std::shared_ptr<ProcessGroup> group;
  if (!options.on_abort) options.on_abort = [&group](const Failure& failure) { end_with(failure, group); };
  try {
    group = init_process_group(options);
    body(group);
    group->shut_down();
    return 0;
  } catch (const std::exception& failure) {
    end_with(group ? group->explain(failure) : Failure{FailureCause::kOther, failure.what()}, group);
  }
}

}  // namespace ferrun::ddp
