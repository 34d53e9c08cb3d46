// The composition root of the worker: fork point, command line, command, and one clear line if it failed.
#include <c10/util/Exception.h>
#include <c10/util/Logging.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "worker/client/ferrun/client.h"
#include "worker/train/command_line.h"
#include "worker/train/commands.h"
#include "worker/train/heap.h"

namespace ferrun::train {
namespace {

// LibTorch logs failures with C++ stacks; ours are told in one line. TORCH_CPP_LOG_LEVEL brings its log back.
void quiet_libtorch() {
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) {
    FLAGS_caffe2_log_level = c10::GLOG_FATAL;
  } else {
    c10::initLogging();
  }
}

Ending not_written(int error) {
  return Ending::failure({ErrorKind::kPlatform, std::string("cannot write to standard output") +
                                                    (error != 0 ? std::string(": ") + std::strerror(error) : "")});
}

Ending run_command(const Command& command, CommandContext& context) {
  if (const auto* const answer = std::get_if<Answer>(&command)) {
    if (context.worker.rank == 0 && std::fputs(answer->text.c_str(), stdout) < 0) return not_written(errno);
    return Ending::success();
  }
  if (const auto* const train = std::get_if<TrainOptions>(&command)) return run_train(*train, context);
  if (const auto* const eval = std::get_if<EvalOptions>(&command)) return run_eval(*eval, context);
  if (const auto* const predict = std::get_if<PredictOptions>(&command)) return run_predict(*predict, context);
  if (const auto* const report = std::get_if<ReportOptions>(&command)) return run_report(*report, context);
  if (const auto* const exported = std::get_if<ExportOptions>(&command)) return run_export(*exported);
  return run_make_data(std::get<MakeDataOptions>(command));
}

Ending explain(const std::exception& failure, CommandContext& context) {
  Ending ending;
  ending.status = 1;
  if (context.group) {
    const ddp::Failure explained = context.group->explain(failure);
    ending.message = explained.message;
    ending.lost_peer = explained.cause != ddp::FailureCause::kOther;
  } else if (const auto* const error = dynamic_cast<const c10::Error*>(&failure)) {
    ending.message = error->what_without_backtrace();
  } else {
    ending.message = failure.what();
  }
  return ending;
}

// What was printed has to arrive: a full disk may show only when the buffer is flushed.
Ending check_output(Ending ending) {
  errno = 0;
  if ((std::fflush(stdout) == 0 && std::ferror(stdout) == 0) || !ending.message.empty() || ending.status != 0) {
    return ending;
  }
  return not_written(errno);
}

Ending run(const std::vector<std::string>& arguments) {
  CommandContext context;
  try {
    context.worker = client::context_from_environment();
    const Result<Command> command = parse_command_line(arguments);
    if (!command) {
      Ending ending = Ending::failure(command.error());
      ending.tell = context.worker.rank == 0;  // every rank has the same command line
      return ending;
    }
    Ending ending = run_command(*command, context);
    // A run shows its progress there; its results are files.
    if (!std::holds_alternative<TrainOptions>(*command)) ending = check_output(std::move(ending));
    if (ending.message.empty() && context.group) {
      context.group->shut_down();
    }
    return ending;
  } catch (const std::exception& failure) {
    return explain(failure, context);
  }
}

// For a rank that leaves its failure to another one to tell. A launcher ends all workers when the first one ends, so
// this rank must not be the first; it ends here by the launcher's signal, and tells the failure itself should none
// come.
void wait_until_told() {
  constexpr std::chrono::seconds kTellingTime{5};
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) std::signal(signal, SIG_DFL);
  if (client::noted_stop_signal() == 0) std::this_thread::sleep_for(kTellingTime);
}

}  // namespace
}  // namespace ferrun::train

int main(int argc, char** argv) {
  FERRUN_FORK_POINT();
  ferrun::train::quiet_libtorch();
  ferrun::train::tune_heap();
  const ferrun::train::Ending ending = ferrun::train::run({argv + 1, argv + argc});
  if (!ending.message.empty()) {
    const bool is_own = ending.tell && !ending.lost_peer;
    ferrun::client::report_error(ending.message,
                                 is_own ? ferrun::client::Cause::kOwn : ferrun::client::Cause::kLostPeer);
    if (!ending.tell) ferrun::train::wait_until_told();
    std::fprintf(stderr, "worker: %s\n", ending.message.c_str());
  }
  std::fflush(stdout);
  // Without destructors: after a failure Gloo's threads may wait for a peer that is gone, and after success there is
  // nothing left to put away.
  _exit(ending.status);
}
