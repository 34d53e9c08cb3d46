#include "launcher/config/device_options.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/text.h"
#include "launcher/config/values.h"

namespace ferrun {
namespace {

constexpr long kMostThreads = 100'000;

class DeviceReader {
 public:
  DeviceReader(const RawOptions& options, const HostFacts& facts, JobConfig& config)
      : options_(options), facts_(facts), config_(config) {}

  Status read() {
    for (const auto part :
         {&DeviceReader::read_devices, &DeviceReader::read_cpu_binding, &DeviceReader::read_threads}) {
      if (Status done = (this->*part)(); !done) return done;
    }
    return ok_status();
  }

 private:
  Status read_devices() {
    const RawValue sharing = options_.value("devices");
    if (sharing.text != "all" && sharing.text != "isolate") return bad_value(sharing, "expected all or isolate");
    if (sharing.text == "isolate") return isolate_devices(sharing);
    if (!options_.on("virtual-local-rank")) return ok_status();
    const std::optional<std::string> visible = facts_.environment.get("CUDA_VISIBLE_DEVICES");
    for (int rank = 0; rank < config_.workers; ++rank) {
      config_.own_device.push_back(std::to_string(rank));
    }
    if (!visible) return ok_status();
    const std::vector<std::string> devices = split_list(*visible, ',');
    if (devices.size() < config_.own_device.size()) {
      return Error{ErrorKind::kUsage, "--virtual-local-rank: CUDA_VISIBLE_DEVICES=" + *visible +
                                          " names fewer devices than " + std::to_string(config_.workers) +
                                          " workers need"};
    }
    for (size_t rank = 0; rank < config_.own_device.size(); ++rank) {
      config_.own_device[rank] = strip(devices[rank]);
    }
    return ok_status();
  }

  Status isolate_devices(const RawValue& value) {
    VisibleGpus gpus = visible_gpus(facts_, MigInstances::kAll);
    const size_t workers = static_cast<size_t>(config_.workers);
    if (gpus.names.size() < workers) {
      return bad_value(value, std::to_string(workers) + (workers == 1 ? " worker, and " : " workers, and ") +
                                  std::to_string(gpus.names.size()) +
                                  (gpus.names.size() == 1 ? " visible device" : " visible devices"));
    }
    gpus.names.resize(workers);
    config_.own_device = std::move(gpus.names);
    config_.device_variable = gpus.variable;
    return ok_status();
  }

  Status read_cpu_binding() {
    const RawValue* value = options_.given("numa-binding");
    if (value == nullptr) return ok_status();
    const std::optional<NumaBinding> binding = numa_binding_of(value->text);
    if (!binding) return bad_value(*value, "expected node, socket, exclusive or core-complex");
    Result<CpuBinding> bound = bind_workers(*binding, facts_, mig_instances(options_), config_.workers);
    if (!bound) return bad_value(*value, bound.error().message);
    config_.cpus = std::move(bound->workers);
    for (const std::string& line : bound->warnings) {
      config_.warnings.push_back(value->origin + "=" + value->text + ": " + line);
    }
    for (size_t rank = 0; rank < config_.cpus.size(); ++rank) {
      config_.notes.push_back("local rank " + std::to_string(rank) + " runs on CPUs " +
                              cpu_list_text(config_.cpus[rank].cpus) + ": " + config_.cpus[rank].place);
    }
    return ok_status();
  }

  // The same for all, or the share of each: of the CPUs that it is bound to, else of those that ferrun may use.
  Status read_threads() {
    const RawValue* const value = options_.given("omp");
    if (value == nullptr) return ok_status();
    const auto workers = static_cast<size_t>(config_.workers);
    if (value->text != "auto") {
      const std::optional<long> threads = parse_integer(value->text);
      if (!threads || *threads < 1 || *threads > kMostThreads) {
        return bad_value(*value, "expected auto, or a number of threads, 1 or more");
      }
      config_.omp_threads.assign(workers, static_cast<int>(*threads));
      return ok_status();
    }
    if (config_.cpus.empty()) {
      const int cores = facts_.usable_cores();
      config_.omp_threads.assign(workers, std::max(1, cores / config_.workers));
      config_.notes.push_back("each worker has " + std::to_string(config_.omp_threads.front()) + " of the " +
                              std::to_string(cores) + " cores for its OpenMP threads");
      return ok_status();
    }
    for (const WorkerCpus& own : config_.cpus) {
      const auto sharers = std::ranges::count(config_.cpus, own.cpus, &WorkerCpus::cpus);
      config_.omp_threads.push_back(std::max(1, static_cast<int>(own.cpus.size()) / static_cast<int>(sharers)));
    }
    return ok_status();
  }

  const RawOptions& options_;
  const HostFacts& facts_;
  JobConfig& config_;
};

}  // namespace

MigInstances mig_instances(const RawOptions& options) {
  const bool one_each = options.on("virtual-local-rank") || options.value("devices").text == "isolate";
  return one_each ? MigInstances::kAll : MigInstances::kFirst;
}

Status read_device_options(const RawOptions& options, const HostFacts& facts, JobConfig& config) {
  return DeviceReader(options, facts, config).read();
}

}  // namespace ferrun
