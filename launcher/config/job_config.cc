#include "launcher/config/job_config.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <limits>
#include <utility>

#include "common/exit_status.h"
#include "common/text.h"
#include "launcher/config/device_options.h"
#include "launcher/config/etcd_options.h"
#include "launcher/config/file_nature.h"
#include "launcher/config/indexed_pod.h"
#include "launcher/config/job_terms.h"
#include "launcher/config/job_token.h"
#include "launcher/config/meeting.h"
#include "launcher/config/names.h"
#include "launcher/config/output_options.h"
#include "launcher/config/restart_rules.h"
#include "launcher/config/slurm_step.h"
#include "launcher/config/worker_count.h"

namespace ferrun {
namespace {

// More than any cluster has: a slip of the finger is caught before it waits for them.
constexpr long kMostNodes = 1'000'000;

// Where it counts before a variable, or a file, that says the opposite by another option.
bool on_command_line(const RawOptions& options, const char* name) {
  return options.on(name) && options.given(name)->origin.starts_with("--");
}

// Reads each group of options into the configuration. Every method fails with the first bad value that it meets.
class ConfigBuilder {
 public:
  ConfigBuilder(const CommandLine& line, PlaceDefaults defaults, const HostFacts& facts)
      : line_(line), options_(std::move(defaults.options)), facts_(facts) {
    config_.warnings = std::move(defaults.warnings);
    config_.notes = std::move(defaults.notes);
  }

  Result<JobConfig> build() {
    config_.environment = facts_.environment;
    config_.inherited = facts_.environment;
    config_.open_files = facts_.open_files;
    config_.parent_error_file = facts_.environment.get_or("TORCHELASTIC_ERROR_FILE", "");
    config_.hostname = facts_.hostname;
    using Step = Status (ConfigBuilder::*)();
    for (const Step step : {&ConfigBuilder::read_size, &ConfigBuilder::read_restarts, &ConfigBuilder::read_names,
                            &ConfigBuilder::read_meeting, &ConfigBuilder::read_store, &ConfigBuilder::read_output,
                            &ConfigBuilder::read_log_level, &ConfigBuilder::read_program,
                            &ConfigBuilder::read_start_method, &ConfigBuilder::read_devices}) {
      if (Status done = (this->*step)(); !done) return done.error();
    }
    tell_of_ignored_variables();
    set_job_wide_variables();
    return std::move(config_);
  }

 private:
  Result<int> whole_number(std::string_view name, int least) {
    const RawValue value = options_.value(name);
    const Result<int> number = parse_whole_number(value.text, least);
    return number ? number : bad_value(value, number.error().message);
  }

  Status read_size() {
    const RawValue nodes = options_.value("nnodes");
    const Result<NodeRange> range = parse_node_range(nodes.text);
    if (!range) return bad_value(nodes, range.error().message);
    if (range->most > kMostNodes) return bad_value(nodes, "expected at most " + std::to_string(kMostNodes) + " nodes");
    nodes_ = *range;
    if (options_.on("standalone") && nodes_.least == 1 && nodes_.most > 1) {
      nodes_.most = 1;
      config_.warnings.push_back(nodes.origin + "=" + nodes.text +
                                 ": no other node can join a --standalone job; it has this one");
    }
    if (nodes_.most == 1) {
      if (Status checked = check_only_node(options_.value("node-rank")); !checked) return checked;
    }

    const RawValue workers = options_.value("nproc-per-node");
    const Result<WorkerCount> count = worker_count(workers.text, facts_, mig_instances(options_));
    if (!count) return bad_value(workers, count.error().message);
    config_.workers = count->workers;
    const std::string origin = workers.origin + "=" + workers.text + ": ";
    for (const std::string& line : count->warnings) config_.warnings.push_back(origin + line);
    for (const std::string& line : count->notes) config_.notes.push_back(origin + line);
    return ok_status();
  }

  // The rank is that of a node of several under the static backend at an address; torchrun passes over it otherwise.
  Status check_only_node(const RawValue& rank) {
    if (rank.text.empty()) return ok_status();
    const std::optional<long> number = parse_integer(rank.text);
    if (!number) return bad_value(rank, "expected a whole number");
    if (*number == 0) return ok_status();
    const bool at_address = options_.given("master-port") != nullptr || !options_.value("rdzv-endpoint").text.empty();
    if (at_address && options_.value("rdzv-backend").text == "static" && !options_.on("standalone")) {
      return bad_value(rank, "the only node of the job has rank 0; --nnodes says how many there are");
    }
    config_.warnings.push_back(rank.origin + "=" + rank.text + " is ignored: the only node of the job has rank 0");
    return ok_status();
  }

  Status read_restarts() {
    const Result<int> restarts = whole_number("max-restarts", 0);
    if (!restarts) return restarts.error();
    config_.max_restarts = *restarts;
    Result<RestartPolicy> policy = read_restart_policy(options_, facts_.random[1]);
    if (!policy) return policy.error();
    config_.restart = std::move(*policy);
    const RawValue uptime = options_.value("min-uptime");
    const std::optional<Duration> least = parse_seconds(uptime.text);
    if (!least) return bad_value(uptime, "expected seconds, 0 or more");
    config_.min_uptime = *least;

    const RawValue interval = options_.value("monitor-interval");
    const std::optional<double> seconds = parse_decimal(interval.text);
    if (!seconds || *seconds <= 0) return bad_value(interval, "expected seconds, more than 0");

    if (Status grace = read_shutdown_timeout(); !grace) return grace;
    const RawValue grace = options_.value("failure-grace");
    const std::optional<Duration> short_grace = parse_seconds(grace.text);
    if (!short_grace) return bad_value(grace, "expected seconds, 0 or more");
    config_.stop.failure_grace = *short_grace;
    // Whoever shortens the one wait does not mean the other to be longer.
    if (options_.given("failure-grace") == nullptr) {
      config_.stop.failure_grace = std::min(config_.stop.failure_grace, config_.stop.shutdown_timeout);
    }
    const RawValue style = options_.value("exit-code");
    if (style.text != "cause" && style.text != "torchrun") return bad_value(style, "expected cause or torchrun");
    config_.torchrun_exit_code = style.text == "torchrun";
    const RawValue report = options_.value("report");
    if (report.text != "ferrun" && report.text != "torchrun") return bad_value(report, "expected ferrun or torchrun");
    config_.torchrun_report = report.text == "torchrun";
    return read_stop_signals();
  }

  Status read_shutdown_timeout() {
    RawValue value = options_.value("shutdown-timeout");
    const std::optional<std::string> variable = facts_.environment.get("TORCH_ELASTIC_SHUTDOWN_TIMEOUT");
    if (options_.given("shutdown-timeout") == nullptr && variable) {
      value = RawValue{*variable, "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"};
    }
    const std::optional<long> seconds = parse_integer(value.text);
    if (!seconds || *seconds < 0 || *seconds > 1'000'000) return bad_value(value, "expected whole seconds, 0 or more");
    config_.stop.shutdown_timeout = std::chrono::seconds(*seconds);
    return ok_status();
  }

  Status read_stop_signals() {
    const RawValue value = options_.value("signals-to-handle");
    config_.stop.signals.clear();
    for (const std::string& item : split_list(value.text, ',')) {
      const std::string name(strip(item));
      if (name.empty()) continue;
      const int signal = signal_number(name);
      if (signal == 0) {
        config_.warnings.push_back(value.origin + ": there is no signal '" + name + "'; it is left out");
      } else if (name == "SIGKILL" || name == "SIGSTOP" || name == "SIGCHLD") {
        config_.warnings.push_back(value.origin + ": " + name + " cannot be handled; it is left out");
      } else if (std::ranges::find(config_.stop.signals, signal) == config_.stop.signals.end()) {
        config_.stop.signals.push_back(signal);
      }
    }
    config_.environment.set("TORCHELASTIC_SIGNALS_TO_HANDLE", value.text);
    return ok_status();
  }

  Status read_names() {
    config_.role = options_.value("role").text;
    const RawValue id = options_.value("rdzv-id");
    config_.run_id = id.text.empty() ? random_uuid(facts_.random[0], facts_.random[1]) : id.text;
    config_.launch_id = make_launch_id(facts_);
    return ok_status();
  }

  Status read_meeting() {
    if (nodes_.most > 1) return read_nodes();
    if (Status checked = check_rendezvous_values(options_); !checked) return checked;
    Result<MeetingChoice> choice = choose_meeting(options_);
    if (!choice) return choice.error();
    config_.meeting = std::move(choice->meeting);
    std::ranges::move(choice->warnings, std::back_inserter(config_.warnings));
    return ok_status();
  }

  // torchrun shares its rendezvous's store unless it is told not to; the static backend's is always there.
  Status read_store() {
    const char* const variable = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE";
    const bool dynamic = options_.on("standalone") || options_.value("rdzv-backend").text == "c10d";
    if (facts_.environment.get_or(variable, "") != "1" || !dynamic) return ok_status();
    config_.serves_store = false;
    if (config_.rendezvous && !config_.rendezvous->etcd && config_.rendezvous->store_port != 0 &&
        config_.rendezvous->store_port == config_.rendezvous->endpoint.port) {
      return Error{ErrorKind::kUsage, std::string(variable) + "=1: rank 0 cannot serve the store at port " +
                                          std::to_string(config_.rendezvous->store_port) +
                                          ", where the agents meet: leave --master-port out, or give another one"};
    }
    return ok_status();
  }

  Status read_nodes() {
    Result<RendezvousConfig> rendezvous = read_rendezvous(options_, nodes_, facts_);
    if (!rendezvous) return rendezvous.error();
    config_.rendezvous = std::move(*rendezvous);
    config_.run_id = config_.rendezvous->coordinator.job_id;
    std::ranges::copy(config_.rendezvous->warnings, std::back_inserter(config_.warnings));
    std::ranges::copy(config_.rendezvous->notes, std::back_inserter(config_.notes));
    return ok_status();
  }

  Status read_log_level() {
    if (on_command_line(options_, "quiet") && on_command_line(options_, "verbose")) {
      return Error{ErrorKind::kUsage, "--quiet excludes --verbose: give one of them"};
    }
    config_.log_level = log_level_of(options_, facts_.environment);
    return ok_status();
  }

  Status read_program() {
    const ProgramChoice choice{options_.on("module"), options_.on("no-python"), options_.on("run-path")};
    if (choice.module && (choice.no_python || choice.run_path)) {
      const std::string other = choice.no_python ? "--no-python" : "--run-path";
      return Error{ErrorKind::kUsage, "-m runs a Python module, which " + other + " excludes: give one of them"};
    }
    if (line_.program.empty()) return Error{ErrorKind::kUsage, "no program given"};
    Result<Program> program = resolve_program(line_.program, choice, facts_);
    if (!program) return program.error();
    config_.program = std::move(*program);
    // Scripts written for torchrun keep files beside their error file.
    config_.output.folder_for_error_file = !config_.program.why_python.empty();
    std::ranges::copy(config_.program.warnings, std::back_inserter(config_.warnings));
    if (!config_.program.why_python.empty()) {
      config_.notes.push_back("Python is " + config_.program.argv.front() + ": " + config_.program.why_python);
    }
    config_.expand_local_rank = options_.on("expand");
    config_.pass_local_rank = line_.verb == Verb::kLaunch && !options_.on("use-env");
    if (config_.pass_local_rank && choice.no_python) {
      return Error{ErrorKind::kUsage, "ferrun launch --no-python needs --use-env, as torch.distributed.launch does"};
    }
    return ok_status();
  }

  Status read_start_method() {
    const RawValue method = options_.value("start-method");
    if (method.text == "fork") {
      config_.start_method = StartMethod::kFork;
    } else if (method.text == "forkserver") {
      config_.start_method = StartMethod::kForkServer;
    } else if (method.text != "spawn" && method.origin.starts_with("--")) {
      return bad_value(method, "expected spawn, fork or forkserver");
    } else if (method.text != "spawn") {
      // A variable that all jobs of a machine share stops none of them under torchrun.
      config_.warnings.push_back(method.origin + "=" + method.text +
                                 ": expected spawn, fork or forkserver; workers are spawned");
    }
    if (config_.start_method != StartMethod::kSpawn) choose_template(method);
    return read_preload();
  }

  void choose_template(const RawValue& method) {
    const std::string reason = why_not_forked();
    if (!reason.empty()) {
      config_.start_method = StartMethod::kSpawn;
      config_.warnings.push_back(method.origin + "=" + method.text + ": " + reason);
    } else if (const auto first = behind_python()) {
      config_.python_template = PythonPlan{std::nullopt, *first};
    }
  }

  // Empty: workers can be forked.
  std::string why_not_forked() const {
    const Program& program = config_.program;
    if (config_.pass_local_rank) return "workers with a --local-rank of their own cannot be forked; they are spawned";
    if (config_.expand_local_rank && has_own_arguments()) {
      return "workers whose arguments name their local rank cannot be forked; they are spawned";
    }
    if (!behind_python() && !facts_.files.has_fork_point(program.argv.front())) {
      return program.title + " has no fork point (ferrun::client); its workers are spawned";
    }
    return "";
  }

  // Which word of the command line is the first behind the Python that runs it; none: no Python does.
  std::optional<size_t> behind_python() const {
    const Program& program = config_.program;
    if (!program.why_python.empty()) return 1;
    const Result<std::string> beginning = facts_.files.beginning(program.argv.front());
    if (beginning && nature_of(*beginning) == FileNature::kPythonScript) return 0;
    return std::nullopt;
  }

  bool has_own_arguments() const {
    const auto own = config_.program.argv.begin() + static_cast<ptrdiff_t>(config_.program.user_arguments);
    return std::any_of(own, config_.program.argv.end(),
                       [](const std::string& word) { return word.find('$') != word.npos; });
  }

  Status read_preload() {
    const RawValue* given = options_.given("preload");
    if (given == nullptr) return ok_status();
    std::vector<std::string> modules;
    for (const std::string& word : split_list(given->text, ',')) {
      const std::string name(strip(word));
      if (name.empty()) continue;
      if (!is_module_name(name)) return bad_value(*given, "expected names of Python modules, separated by commas");
      modules.push_back(name);
    }
    if (config_.python_template) {
      config_.python_template->preload = std::move(modules);
    } else {
      config_.warnings.push_back(given->origin + " is of no use: workers are not forked from a Python");
    }
    return ok_status();
  }

  // Letters beyond ASCII are Python's to judge.
  static bool is_module_name(const std::string& name) {
    const auto fits = [](unsigned char letter) {
      return letter == '_' || letter == '.' || letter >= 128 || std::isalnum(letter) != 0;
    };
    return name.front() != '.' && name.back() != '.' && name.find("..") == name.npos && std::ranges::all_of(name, fits);
  }

  Status read_output() { return read_output_options(options_, facts_, config_); }

  Status read_devices() { return read_device_options(options_, facts_, config_); }

  // Of torchrun's agent: what is set there is expected to do something.
  void tell_of_ignored_variables() {
    struct Ignored {
      const char* name;
      const char* why;
    };
    constexpr std::array kIgnored = {
        Ignored{"TORCHELASTIC_HEALTH_CHECK_PORT",
                "ferrun listens for no health checks; ferrun status tells how a job is"},
        Ignored{"TORCH_ELASTIC_EXIT_BARRIER_TIMEOUT",
                "nodes that have finished wait for the others as long as the job runs, without a limit"}};
    for (const Ignored& variable : kIgnored) {
      if (facts_.environment.get_or(variable.name, "").empty()) continue;
      config_.warnings.push_back(std::string(variable.name) + " is ignored: " + variable.why);
    }
    if (facts_.environment.get_or("TORCH_ELASTIC_WORKER_IDENTICAL", "0") == "1") {
      config_.notes.push_back(
          "TORCH_ELASTIC_WORKER_IDENTICAL=1 saves nothing: ranks come with the round, in one message to each node");
    }
  }

  void set_job_wide_variables() {
    Environment& environment = config_.environment;
    // As torchrun, and its reason: without it every worker's thread pool takes all cores.
    if (config_.omp_threads.empty() && config_.workers > 1 && !environment.contains("OMP_NUM_THREADS")) {
      environment.set("OMP_NUM_THREADS", "1");
      config_.notes.push_back("OMP_NUM_THREADS is not set: it is 1 for each of the " + std::to_string(config_.workers) +
                              " workers");
    }
    // A fork template reads it before it is forked.
    if (!config_.omp_threads.empty()) environment.set("OMP_NUM_THREADS", std::to_string(config_.omp_threads.front()));
    if (!environment.contains("TORCH_NCCL_ASYNC_ERROR_HANDLING")) {
      environment.set("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1");
    }
    environment.set("FERRUN_LAUNCH_ID", config_.launch_id);
    const auto shutdown = std::chrono::duration_cast<std::chrono::seconds>(config_.stop.shutdown_timeout);
    environment.set("FERRUN_SHUTDOWN_TIMEOUT", std::to_string(shutdown.count()));
    // Workers have no part in the agents' secrets.
    environment.erase(kTokenVariable);
    environment.erase(kEtcdPasswordVariable);
    if (!config_.rendezvous) return;
    if (const std::string& interface = config_.rendezvous->interface; !interface.empty()) {
      for (const char* name : {"GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"}) {
        if (!environment.contains(name)) environment.set(name, interface);
      }
    }
    append_job_terms(config_, line_, config_.rendezvous->coordinator.terms);
  }

  const CommandLine& line_;
  const RawOptions options_;
  const HostFacts& facts_;
  NodeRange nodes_;
  JobConfig config_;
};

}  // namespace

bool OutputConfig::writes_streams() const {
  const auto any = [](StreamSet streams) { return streams.out || streams.err; };
  return std::ranges::any_of(redirects, any) || std::ranges::any_of(tee, any);
}

Result<JobConfig> make_job_config(const CommandLine& line, const HostFacts& facts) {
  Result<PlaceDefaults> defaults = with_slurm_step(line.options, facts);
  if (!defaults) return defaults.error();
  return ConfigBuilder(line, with_indexed_pod(std::move(*defaults), facts), facts).build();
}

LogLevel log_level_of(const RawOptions& options, const Environment& environment) {
  std::string level = environment.get_or("LOGLEVEL", "");
  std::ranges::transform(level, level.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (options.on("quiet") && !(on_command_line(options, "verbose") && !on_command_line(options, "quiet"))) {
    return LogLevel::kError;
  }
  if (level == "DEBUG" || level == "NOTSET") return LogLevel::kDebug;
  if (level == "INFO" || options.on("verbose")) return LogLevel::kInfo;
  if (level == "ERROR" || level == "CRITICAL") return LogLevel::kError;
  return LogLevel::kWarning;
}

std::string make_launch_id(const HostFacts& facts) { return facts.start_stamp + "-" + hexadecimal(facts.random[2], 8); }

}  // namespace ferrun
