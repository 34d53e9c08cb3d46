#include "launcher/io/probe/gpu_survey.h"

#include <future>
#include <memory>
#include <optional>
#include <sstream>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/io/quiet_thread.h"
#include "common/io/small_file.h"
#include "launcher/config/device_count.h"
#include "launcher/io/probe/device_probe.h"
#include "launcher/io/probe/nvml.h"

namespace ferrun {
namespace {

// "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024": the word of digits and
// dots.
std::string driver_version(const std::filesystem::path& root) {
  std::istringstream in(read_small_file(root / "proc/driver/nvidia/version").bytes);
  for (std::string word; in >> word;) {
    if (word.find('.') != std::string::npos && word.find_first_not_of("0123456789.") == std::string::npos) return word;
  }
  return "";
}

struct Answers {
  std::vector<GpuHealth> health;
  std::vector<int> links;
  int pairs = 0;
  std::vector<std::string> strangers;
};

// None: the library is not there.
std::optional<Answers> ask_driver(const std::string& library, const std::vector<std::string>& addresses) {
  const std::unique_ptr<Nvml> nvml = Nvml::load(library);
  if (!nvml) return std::nullopt;
  Answers answers;
  for (size_t at = 0; at < addresses.size(); ++at) {
    answers.health.push_back(nvml->health(addresses[at]));
    answers.links.push_back(nvml->active_links(addresses[at]));
    for (size_t before = 0; before < at; ++before) {
      const std::optional<bool> reaches = nvml->peer_access(addresses[before], addresses[at]);
      if (!reaches) continue;
      ++answers.pairs;
      if (!*reaches) answers.strangers.push_back(addresses[before] + " and " + addresses[at]);
    }
  }
  return answers;
}

// The trainer beside ferrun, and its plug-in, which it looks for in the same places.
void look_for_worker(std::filesystem::path programs, GpuFacts& facts) {
  std::error_code ignored;
  if (programs.empty()) programs = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  facts.worker = std::filesystem::exists(programs / "worker", ignored);
  constexpr const char* kPlugIn = "libferrun_cuda.so";
  for (const std::filesystem::path& file : {programs / kPlugIn, programs / "../lib/ferrun" / kPlugIn}) {
    if (facts.plug_in.empty() && std::filesystem::exists(file, ignored)) facts.plug_in = file.lexically_normal();
  }
}

}  // namespace

GpuFacts survey_gpus(const Environment& environment, const GpuSurveyOptions& options) {
  GpuFacts facts;
  const auto devices = nvidia_gpus(options.root);
  if (!devices) return facts;
  facts.driver = true;
  look_for_worker(options.programs, facts);
  facts.version = driver_version(options.root);
  facts.offered = devices->size();
  std::vector<std::string> addresses;
  for (const GpuDevice& device : visible_to_cuda(*devices, environment, MigInstances::kAll)) {
    facts.visible.emplace_back().pci_address = device.pci_address;
    if (!device.pci_address.empty()) addresses.push_back(device.pci_address);
  }
  if (addresses.empty()) {
    facts.problem = "it does not tell its devices' PCI addresses, so they were not looked at";
    return facts;
  }
  std::promise<std::optional<Answers>> promise;
  std::future<std::optional<Answers>> future = promise.get_future();
  // std::function copies what it holds, and a promise cannot be copied.
  auto answer = std::make_shared<std::promise<std::optional<Answers>>>(std::move(promise));
  std::optional<std::thread> thread = start_quiet_thread(
      [answer, library = options.library, addresses] { answer->set_value(ask_driver(library, addresses)); });
  if (!thread) {
    facts.problem = "it was not asked: the limit on processes is reached (ulimit -u, a container's pids)";
    return facts;
  }
  thread->detach();
  if (future.wait_for(options.patience) != std::future_status::ready) {
    facts.problem = "it does not answer: a device hangs, perhaps (dmesg, nvidia-smi)";
    return facts;
  }
  std::optional<Answers> answers = future.get();
  if (!answers) {
    facts.problem = "its library " + options.library +
                    " is absent or of another version, so the devices were not looked at"
                    " (in a container: NVIDIA_DRIVER_CAPABILITIES=compute,utility)";
    return facts;
  }
  facts.answered = true;
  facts.visible = std::move(answers->health);
  facts.links = std::move(answers->links);
  facts.pairs = answers->pairs;
  facts.strangers = std::move(answers->strangers);
  return facts;
}

}  // namespace ferrun
