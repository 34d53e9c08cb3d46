#include "launcher/io/probe/nvml.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <utility>

#include "common/io/small_file.h"
#include "common/text.h"

namespace ferrun {

// As in NVIDIA's nvml.h. In no unnamed namespace: g++ 14.2 crashes on a class that points to functions of such types,
// where its file is one of several in a compilation.
struct NvmlDevice;
struct NvmlEventSet;
struct NvmlMemory {
  unsigned long long total, free, used;  // bytes
};
struct NvmlProcess {
  unsigned pid;
  unsigned long long bytes;  // all ones: not told
  unsigned gpu_instance, compute_instance;
};
struct NvmlEvent {
  NvmlDevice* device;
  unsigned long long type, data;  // data: the Xid's number
  unsigned gpu_instance, compute_instance;
};

namespace {

using NvmlHandle = NvmlDevice*;
using EventSet = NvmlEventSet*;
using NvmlAnswer = int;
constexpr NvmlAnswer kSuccess = 0;
constexpr NvmlAnswer kGpuIsLost = 15;
constexpr NvmlAnswer kResetRequired = 16;
constexpr int kUncorrectedErrors = 1;
constexpr int kSinceDriverLoad = 0;
constexpr unsigned long long kXidEvent = 0x8;

constexpr size_t kMostProcesses = 64;
constexpr int kMostEvents = 64;
constexpr int kReadsOfPeer = 0;
constexpr unsigned kMostLinks = 18;  // NVML_NVLINK_MAX_LINKS

std::string process_name(unsigned pid) {
  return std::string(strip(read_small_file("/proc/" + std::to_string(pid) + "/comm").bytes));
}

}  // namespace

struct Nvml::Calls {
  void* library = nullptr;
  NvmlAnswer (*init)() = nullptr;
  NvmlAnswer (*shutdown)() = nullptr;
  NvmlAnswer (*device_at)(const char*, NvmlHandle*) = nullptr;
  NvmlAnswer (*ecc_errors)(NvmlHandle, int, int, unsigned long long*) = nullptr;
  NvmlAnswer (*memory)(NvmlHandle, NvmlMemory*) = nullptr;
  NvmlAnswer (*throttle_reasons)(NvmlHandle, unsigned long long*) = nullptr;
  NvmlAnswer (*pages_pending)(NvmlHandle, int*) = nullptr;
  NvmlAnswer (*remapped_rows)(NvmlHandle, unsigned*, unsigned*, unsigned*, unsigned*) = nullptr;
  NvmlAnswer (*processes)(NvmlHandle, unsigned*, NvmlProcess*) = nullptr;
  NvmlAnswer (*peer_status)(NvmlHandle, NvmlHandle, int, int*) = nullptr;
  NvmlAnswer (*link_state)(NvmlHandle, unsigned, int*) = nullptr;
  NvmlAnswer (*make_event_set)(EventSet*) = nullptr;
  NvmlAnswer (*free_event_set)(EventSet) = nullptr;
  NvmlAnswer (*register_events)(NvmlHandle, unsigned long long, EventSet) = nullptr;
  NvmlAnswer (*wait_for_event)(EventSet, NvmlEvent*, unsigned) = nullptr;

  ~Calls() {
    if (library != nullptr) dlclose(library);
  }
  template <typename Call>
  void find(Call& call, const char* name) {
    call = reinterpret_cast<Call>(dlsym(library, name));
  }
  // Calls that an old driver lacks stay null.
  bool find_all() {
    find(init, "nvmlInit_v2");
    find(shutdown, "nvmlShutdown");
    find(device_at, "nvmlDeviceGetHandleByPciBusId_v2");
    find(ecc_errors, "nvmlDeviceGetTotalEccErrors");
    find(memory, "nvmlDeviceGetMemoryInfo");
    find(throttle_reasons, "nvmlDeviceGetCurrentClocksThrottleReasons");
    find(pages_pending, "nvmlDeviceGetRetiredPagesPendingStatus");
    find(remapped_rows, "nvmlDeviceGetRemappedRows");
    find(processes, "nvmlDeviceGetComputeRunningProcesses_v3");
    find(peer_status, "nvmlDeviceGetP2PStatus");
    find(link_state, "nvmlDeviceGetNvLinkState");
    find(make_event_set, "nvmlEventSetCreate");
    find(free_event_set, "nvmlEventSetFree");
    find(register_events, "nvmlDeviceRegisterEvents");
    find(wait_for_event, "nvmlEventSetWait_v2");
    return init != nullptr && shutdown != nullptr && device_at != nullptr;
  }
};

struct Nvml::Watched {
  EventSet set = nullptr;
  std::vector<std::pair<NvmlHandle, std::string>> devices;  // with their addresses
};

std::unique_ptr<Nvml> Nvml::load(const std::string& library) {
  auto calls = std::make_unique<Calls>();
  calls->library = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (calls->library == nullptr || !calls->find_all() || calls->init() != kSuccess) return nullptr;
  return std::unique_ptr<Nvml>(new Nvml(std::move(calls)));
}

Nvml::Nvml(std::unique_ptr<Calls> calls) : calls_(std::move(calls)), watched_(std::make_unique<Watched>()) {}

Nvml::~Nvml() {
  if (watched_->set != nullptr && calls_->free_event_set != nullptr) calls_->free_event_set(watched_->set);
  calls_->shutdown();
}

GpuHealth Nvml::health(const std::string& pci_address) {
  GpuHealth health;
  health.pci_address = pci_address;
  const auto succeeded = [&health](NvmlAnswer answer) {
    health.lost |= answer == kGpuIsLost;
    health.reset_required |= answer == kResetRequired;
    return answer == kSuccess;
  };
  const Calls& call = *calls_;
  NvmlHandle device = nullptr;
  if (!succeeded(call.device_at(pci_address.c_str(), &device))) return health;
  unsigned long long number = 0;
  if (call.ecc_errors != nullptr && succeeded(call.ecc_errors(device, kUncorrectedErrors, kSinceDriverLoad, &number))) {
    health.double_bit_errors = number;
  }
  if (call.throttle_reasons != nullptr && succeeded(call.throttle_reasons(device, &number))) {
    health.throttle_reasons = number;
  }
  int pending = 0;
  if (call.pages_pending != nullptr && succeeded(call.pages_pending(device, &pending))) {
    health.pages_pending = pending == 1;
  }
  unsigned corrected = 0, uncorrected = 0, rows_pending = 0, failed = 0;
  if (call.remapped_rows != nullptr &&
      succeeded(call.remapped_rows(device, &corrected, &uncorrected, &rows_pending, &failed))) {
    health.rows_pending = rows_pending != 0;
    health.row_remap_failed = failed != 0;
  }
  NvmlMemory memory = {};
  if (call.memory != nullptr && succeeded(call.memory(device, &memory))) {
    health.memory_used = memory.used;
    health.memory_total = memory.total;
  }
  health.holders = holders(pci_address);
  return health;
}

std::vector<GpuHolder> Nvml::holders(const std::string& pci_address) {
  std::vector<GpuHolder> holders;
  const Calls& call = *calls_;
  NvmlHandle device = nullptr;
  std::array<NvmlProcess, kMostProcesses> processes = {};
  unsigned count = kMostProcesses;
  if (call.processes == nullptr || call.device_at(pci_address.c_str(), &device) != kSuccess ||
      call.processes(device, &count, processes.data()) != kSuccess) {
    return holders;
  }
  for (size_t at = 0; at < std::min<size_t>(count, kMostProcesses); ++at) {
    const NvmlProcess& process = processes[at];
    const uint64_t bytes = process.bytes == ~0ULL ? 0 : process.bytes;
    holders.push_back({static_cast<int>(process.pid), process_name(process.pid), bytes});
  }
  return holders;
}

std::optional<bool> Nvml::peer_access(const std::string& from, const std::string& to) {
  NvmlHandle one = nullptr, other = nullptr;
  int status = 0;
  const bool told = calls_->peer_status != nullptr && calls_->device_at(from.c_str(), &one) == kSuccess &&
                    calls_->device_at(to.c_str(), &other) == kSuccess &&
                    calls_->peer_status(one, other, kReadsOfPeer, &status) == kSuccess;
  return told ? std::optional(status == 0) : std::nullopt;
}

int Nvml::active_links(const std::string& pci_address) {
  NvmlHandle device = nullptr;
  if (calls_->link_state == nullptr || calls_->device_at(pci_address.c_str(), &device) != kSuccess) return 0;
  int links = 0;
  for (unsigned link = 0; link < kMostLinks; ++link) {
    int active = 0;
    if (calls_->link_state(device, link, &active) == kSuccess && active == 1) ++links;
  }
  return links;
}

void Nvml::watch_xids(const std::vector<std::string>& pci_addresses) {
  const Calls& call = *calls_;
  if (call.make_event_set == nullptr || call.register_events == nullptr || call.wait_for_event == nullptr) return;
  if (watched_->set == nullptr && call.make_event_set(&watched_->set) != kSuccess) return;
  for (const std::string& address : pci_addresses) {
    if (std::ranges::find(watched_->devices, address, &std::pair<NvmlHandle, std::string>::second) !=
        watched_->devices.end()) {
      continue;
    }
    NvmlHandle device = nullptr;
    if (call.device_at(address.c_str(), &device) != kSuccess) continue;
    if (call.register_events(device, kXidEvent, watched_->set) == kSuccess)
      watched_->devices.emplace_back(device, address);
  }
}

std::vector<Xid> Nvml::take_xids() {
  std::vector<Xid> xids;
  if (watched_->devices.empty()) return xids;
  NvmlEvent event = {};
  for (int taken = 0; taken < kMostEvents && calls_->wait_for_event(watched_->set, &event, 0) == kSuccess; ++taken) {
    const auto device = std::ranges::find(watched_->devices, event.device, &std::pair<NvmlHandle, std::string>::first);
    if (event.type != kXidEvent || device == watched_->devices.end()) continue;
    xids.push_back({device->second, static_cast<int>(event.data)});
  }
  return xids;
}

}  // namespace ferrun
