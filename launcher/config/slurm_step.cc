#include "launcher/config/slurm_step.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "launcher/config/hostlist.h"
#include "launcher/config/values.h"
#include "launcher/config/worker_count.h"

namespace ferrun {
namespace {

// Below the ports that kernels give out by themselves, above those of well-known services.
constexpr long kFirstPort = 20000;
constexpr long kJobs = 1000;  // this many jobs in a row, and the first steps of each, have ports of their own
constexpr long kSteps = 10;

// Whoever gives one of these has decided where the nodes meet, or who is who among them.
constexpr std::array kMeeting = {"node-rank", "rdzv-endpoint", "master-addr", "master-port", "standalone"};

class StepReader {
 public:
  StepReader(const RawOptions& given, const HostFacts& facts) : environment_(facts.environment), facts_(facts) {
    made_.options = given;
  }

  Result<PlaceDefaults> read() {
    if (decided_by_hand() || !environment_.contains("SLURM_JOB_ID")) return std::move(made_);
    if (!environment_.contains("SLURM_STEP_NODELIST")) {
      warn_outside_of_a_step();
      return std::move(made_);
    }
    for (const auto part : {&StepReader::read_place, &StepReader::check_tasks, &StepReader::set_meeting}) {
      if (Status done = (this->*part)(); !done) return done.error();
    }
    set_workers();
    return std::move(made_);
  }

 private:
  bool given(const char* name) const { return made_.options.given(name) != nullptr; }

  // A number of nodes alone says how many the job needs, not where they meet; one node is this one.
  bool decided_by_hand() const {
    const Result<NodeRange> nodes = parse_node_range(made_.options.value("nnodes").text);
    if (given("nnodes") && nodes && nodes->most == 1) return true;
    return std::ranges::any_of(kMeeting, [this](const char* name) {
      return given(name) && !(by_etcd() && std::string_view(name) == "rdzv-endpoint");
    });
  }

  // Its servers say where the nodes meet; who they are the step says.
  bool by_etcd() const { return made_.options.value("rdzv-backend").text == "etcd"; }

  std::string variable(const char* name) const { return environment_.get_or(name, ""); }

  std::optional<long> number(const char* name) const { return parse_integer(variable(name)); }

  static Error contradiction(const std::string& what) {
    return Error{ErrorKind::kUsage, what +
                                        "; --nnodes, --node-rank and --rdzv-endpoint say it by hand, and "
                                        "--standalone makes each ferrun a job of its own"};
  }

  Status read_place() {
    const std::string list = variable("SLURM_STEP_NODELIST");
    Result<std::vector<std::string>> nodes = expand_hostlist(list);
    if (!nodes) return contradiction("SLURM_STEP_NODELIST=" + list + ": " + nodes.error().message);
    nodes_ = std::move(*nodes);
    const std::optional<long> node = number("SLURM_NODEID");
    if (!node || *node < 0 || *node >= static_cast<long>(nodes_.size())) {
      return contradiction("SLURM_NODEID=" + variable("SLURM_NODEID") + " is no place in SLURM_STEP_NODELIST=" + list);
    }
    node_ = static_cast<size_t>(*node);
    return ok_status();
  }

  Status check_tasks() {
    const std::string text = variable("SLURM_STEP_TASKS_PER_NODE");
    if (text.empty()) return ok_status();
    const Result<std::vector<int>> tasks = expand_tasks_per_node(text);
    if (!tasks || tasks->size() != nodes_.size()) {
      return contradiction("SLURM_STEP_TASKS_PER_NODE=" + text +
                           " does not fit SLURM_STEP_NODELIST=" + variable("SLURM_STEP_NODELIST"));
    }
    // On every node alike: one that has a single task would wait for those that were refused.
    const auto crowded = std::ranges::find_if(*tasks, [](int count) { return count > 1; });
    if (crowded == tasks->end()) return ok_status();
    return Error{ErrorKind::kUsage,
                 "Slurm has started " + std::to_string(*crowded) + " tasks of this step on " +
                     nodes_[static_cast<size_t>(crowded - tasks->begin())] +
                     ", each of them a ferrun, which starts the workers itself: srun --ntasks-per-node=1 starts one "
                     "(--nproc-per-node says how many workers it has; --standalone makes each task a job of its own)"};
  }

  Status set_meeting() {
    if (nodes_.size() == 1) return ok_status();
    const std::string job = variable("SLURM_JOB_ID"), step = variable("SLURM_STEP_ID");
    const std::optional<long> job_number = parse_integer(job), step_number = parse_integer(step);
    if (!job_number || !step_number || *job_number < 0 || *step_number < 0) {
      return contradiction("SLURM_JOB_ID=" + job + " and SLURM_STEP_ID=" + step + " are no numbers");
    }
    const long port = kFirstPort + *job_number % kJobs * kSteps + *step_number % kSteps;
    const std::string count = std::to_string(nodes_.size());
    // Of another number of nodes the step's places are none: nodes come and go, or more than these take part.
    if (!given("nnodes")) set("nnodes", count, "SLURM_STEP_NODELIST");
    const Result<NodeRange> wanted = parse_node_range(made_.options.value("nnodes").text);
    const long here = static_cast<long>(nodes_.size());
    const bool places_hold = wanted && wanted->least == here && wanted->most == here;
    if (places_hold) set("node-rank", std::to_string(node_), "SLURM_NODEID");
    if (!by_etcd()) set("rdzv-endpoint", nodes_.front() + ":" + std::to_string(port), "SLURM_STEP_NODELIST");
    if (!given("rdzv-id")) set("rdzv-id", "slurm-" + job + "." + step, "SLURM_STEP_ID");
    const std::string place = places_hold ? " has rank " + std::to_string(node_) : " may get any rank";
    made_.notes.push_back("Slurm step " + job + "." + step + ": " + count + " nodes, this one (" + nodes_[node_] + ")" +
                          place + "; they meet " +
                          (by_etcd() ? "by etcd" : "at " + nodes_.front() + ", port " + std::to_string(port)));
    return ok_status();
  }

  // The step's devices; without any its CPUs, which are fewer than the process may use where Slurm binds nobody.
  void set_workers() {
    if (made_.options.given("nproc-per-node") != nullptr) return;
    if (worker_count("gpu", facts_, MigInstances::kFirst)) return set("nproc-per-node", "gpu", "the Slurm step");
    const std::string cpus = variable("SLURM_CPUS_ON_NODE");
    if (const std::optional<long> count = parse_integer(cpus); count && *count >= 1) {
      set("nproc-per-node", cpus, "SLURM_CPUS_ON_NODE");
      made_.notes.push_back("no GPU in this Slurm step: one worker for each of its " + cpus +
                            (*count == 1 ? " CPU" : " CPUs") + " on this node; --nproc-per-node says another number");
    }
  }

  // In a batch script or in salloc's shell: ferrun itself starts nothing on the other nodes.
  void warn_outside_of_a_step() {
    const std::optional<long> nodes = number("SLURM_JOB_NUM_NODES");
    if (!nodes || *nodes <= 1) return;
    made_.warnings.push_back("this is no step of Slurm's job " + variable("SLURM_JOB_ID") + ", which has " +
                             std::to_string(*nodes) +
                             " nodes: only this node is used; srun --ntasks-per-node=1 ferrun …" +
                             " takes all of them (--standalone: this one is meant)");
  }

  void set(const char* name, std::string text, const char* origin) {
    made_.options.set(name, RawValue{std::move(text), origin});
  }

  const Environment& environment_;
  const HostFacts& facts_;
  PlaceDefaults made_;
  std::vector<std::string> nodes_;
  size_t node_ = 0;
};

}  // namespace

Result<PlaceDefaults> with_slurm_step(const RawOptions& given, const HostFacts& facts) {
  return StepReader(given, facts).read();
}

}  // namespace ferrun
