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

[[noreturn]] void end_with(const Failure& failure, const std::string& who) {
  const bool lost = failure.cause != FailureCause::kOther;
  client::report_error(failure.message, lost ? client::Cause::kLostPeer : client::Cause::kOwn);
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
  const auto who = [&group] { return group ? "rank " + std::to_string(group->rank()) + ": " : std::string(); };
  if (!options.on_abort) options.on_abort = [&who](const Failure& failure) { end_with(failure, who()); };
  try {
    group = init_process_group(options);
    body(group);
    group->shut_down();
    return 0;
  } catch (const std::exception& failure) {
    end_with(group ? group->explain(failure) : Failure{FailureCause::kOther, failure.what()}, who());
  }
}

}  // namespace ferrun::ddp
