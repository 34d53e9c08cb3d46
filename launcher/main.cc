// ferrun: starts the workers of a distributed job and supervises them. The composition root: everything is made here
// and passed down.
#include <malloc.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "common/io/small_file.h"
#include "common/printable_text.h"
#include "launcher/cli/completion.h"
#include "launcher/cli/config_file.h"
#include "launcher/cli/help.h"
#include "launcher/cli/parse.h"
#include "launcher/config/coordinator_job.h"
#include "launcher/config/describe.h"
#include "launcher/config/descriptors.h"
#include "launcher/config/doctor_job.h"
#include "launcher/config/hosts_job.h"
#include "launcher/config/job_config.h"
#include "launcher/config/output_options.h"
#include "launcher/doctor/finding.h"
#include "launcher/exit_statuses.h"
#include "launcher/io/hosts/host_agent.h"
#include "launcher/io/hosts/hosts_process.h"
#include "launcher/io/node/coordinator_process.h"
#include "launcher/io/node/evidence.h"
#include "launcher/io/node/node_driver.h"
#include "launcher/io/node/runtime_folder.h"
#include "launcher/io/node/status_socket.h"
#include "launcher/io/probe/doctor.h"
#include "launcher/io/probe/host_facts.h"
#include "launcher/io/probe/open_files.h"
#include "launcher/io/process/sentinel.h"
#include "launcher/report/job_report.h"
#include "launcher/report/status_report.h"

namespace {

using namespace ferrun;

Result<std::string> read_config(const std::string& path) {
  SmallFile file = read_small_file(path);
  if (file.state == SmallFile::State::kRead) return std::move(file.bytes);
  return Error{ErrorKind::kUser, file.state == SmallFile::State::kAbsent ? "there is no such file" : file.problem};
}

int fail(const Error& error) {
  const char* hint = error.kind == ErrorKind::kUsage ? " (see ferrun --help)" : "";
  std::fprintf(stderr, "ferrun: %s%s\n", one_line(error.message).c_str(), hint);
  return exit_status_of(error);
}

// The end of a job that was never started: its words are the root cause, which a container's runtime shows too.
int refuse(const Error& error, const std::filesystem::path& log) {
  const Status left =
      log.empty() ? ok_status() : leave_message(log, termination_message({"ferrun: " + one_line(error.message)}));
  if (!left) std::fprintf(stderr, "ferrun: warning: %s\n", one_line(left.error().message).c_str());
  return fail(error);
}

int print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return 0;
  return fail({ErrorKind::kPlatform, std::string("cannot write to standard output: ") + std::strerror(errno)});
}

// Never returns in the process that the user started: that one becomes the sentinel.
int supervise(JobConfig config) {
  if (Status enough = ensure_open_files(descriptors_needed(config)); !enough) {
    return refuse(enough.error(), config.termination_log);
  }
  if (config.rendezvous) {
    raise_open_files(descriptors_needed(config) +
                     descriptors_for_all_nodes(config.rendezvous->coordinator.max_nodes, config.workers));
  }
  std::signal(SIGPIPE, SIG_IGN);  // a closed console is the log router's to notice
  mallopt(M_ARENA_MAX, 1);        // no heap for each of the few threads that wait for disks
  const Result<SentinelLink> sentinel = become_agent_under_sentinel();
  if (!sentinel) return refuse(sentinel.error(), config.termination_log);
  return NodeDriver(std::move(config), *sentinel).run();
}

// The command line in full, of which each host gets its own.
int run_on_named_hosts(const std::vector<std::string>& arguments, const CommandLine& line, const HostFacts& facts) {
  Result<HostsJob> job = make_hosts_job(arguments, line, facts, {read_config, ssh_address});
  if (!job) return fail(job.error());
  raise_open_files(descriptors_for_hosts(job->hosts.size()));
  return run_on_hosts(std::move(*job));
}

int coordinate(const CommandLine& line, const HostFacts& facts) {
  Result<CoordinatorJob> job = make_coordinator_job(line, facts);
  if (!job) return fail(job.error());
  raise_open_files(descriptors_for_all_nodes(job->rendezvous.coordinator.max_nodes, 0));
  std::signal(SIGPIPE, SIG_IGN);
  return run_coordinator(std::move(*job));
}

int show_status(const CommandLine& line, const HostFacts& facts) {
  constexpr std::chrono::seconds kPatience{5};
  const RawValue* job = line.options.given("job");
  const AgentAnswers answers = ask_agents(runtime_folders(facts.environment), kPatience);
  for (const std::string& refused : answers.refused) std::fprintf(stderr, "ferrun: %s\n", one_line(refused).c_str());
  const Result<std::string> report =
      status_report(answers.agents, job != nullptr ? job->text : "", line.options.on("json"));
  if (report) return print(report.value());
  fail(report.error());
  return report.error().kind == ErrorKind::kUsage ? kExitUsage : 1;
}

int diagnose_machine(const CommandLine& line, const HostFacts& facts) {
  const Result<DoctorJob> job = make_doctor_job(line, facts);
  if (!job) return fail(job.error());
  const std::vector<Finding> findings = examine(job.value());
  const int printed = print(job.value().as_json ? findings_json(findings) : findings_text(findings));
  return printed != 0 ? printed : static_cast<int>(any_failed(findings));
}

// The second line is for reports of errors.
std::string version_text() {
  return "ferrun " FERRUN_VERSION "\nbuilt as " FERRUN_BUILD ", glibc " + std::to_string(__GLIBC__) + "." +
         std::to_string(__GLIBC_MINOR__) + "\n";
}

int run_program(const std::vector<std::string>& arguments, const CommandLine& line, const HostFacts& facts) {
  if (line.options.on("version")) return print(version_text());
  if (line.options.on("print-flags")) return print(flag_lines());
  if (const RawValue* shell = line.options.given("print-completion")) {
    const Result<std::string> script = completion_script(shell->text);
    return script ? print(*script) : fail(script.error());
  }
  if (wants_hosts(line.options)) {
    if (line.options.on("dry-run")) return fail(usage_error("--dry-run shows the job of one host: leave --hosts out"));
    return run_on_named_hosts(arguments, line, facts);
  }
  Result<JobConfig> config = make_job_config(line, facts);
  const bool dry_run = line.options.on("dry-run");
  if (!config) return dry_run ? fail(config.error()) : refuse(config.error(), termination_log(line.options, facts));
  const bool as_json = line.options.on("json");
  if (dry_run) return print(as_json ? describe_json(*config) : describe(*config));
  if (as_json) return fail(usage_error("--json is for --dry-run; --event-log=FILE tells programs of a job that runs"));
  return supervise(std::move(*config));
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  if (arguments == std::vector<std::string>{"host-agent"}) return run_host_agent();
  const Verb verb = verb_of(arguments);
  if (verb != Verb::kRun) arguments.erase(arguments.begin());
  const HostFacts facts = read_host_facts();
  const Result<CommandLine> line = parse_with_config_file(arguments, facts.environment, verb, read_config);
  if (!line) {
    const bool is_job = verb == Verb::kRun || verb == Verb::kLaunch;
    return is_job ? refuse(line.error(), termination_log(RawOptions{}, facts)) : fail(line.error());
  }
  if (line->options.on("help")) return print(help_text(verb));
  switch (verb) {
    case Verb::kRun:
    case Verb::kLaunch: return run_program(arguments, *line, facts);
    case Verb::kCoordinator: return coordinate(*line, facts);
    case Verb::kStatus: return show_status(*line, facts);
    case Verb::kDoctor: return diagnose_machine(*line, facts);
  }
  return kExitInternal;
}
