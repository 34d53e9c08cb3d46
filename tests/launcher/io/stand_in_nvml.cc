// Plays NVIDIA's libnvidia-ml.so.1 for tests: what the devices say stands in a file "devices" beside the library, one
// fact a line, read at every call:
//
//   device ADDRESS                    there is one
//   lost ADDRESS                      every call about it says that it is lost
//   ecc|throttle|pages ADDRESS NUMBER
//   rows ADDRESS PENDING FAILED
//   memory ADDRESS USED TOTAL
//   process ADDRESS PID BYTES
//   xid ADDRESS NUMBER                comes once, after its device was registered
//   stranger ADDRESS                  no device reads its memory
//   links ADDRESS NUMBER              active NVLinks
//   hang                              no call ever returns
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr int kSuccess = 0;
constexpr int kNotSupported = 3;
constexpr int kNotFound = 6;
constexpr int kTimeout = 10;
constexpr int kLost = 15;

struct Fact {
  std::string what, address;
  std::vector<unsigned long long> numbers;
};

std::vector<Fact> facts() {
  Dl_info own = {};
  dladdr(reinterpret_cast<void*>(&facts), &own);
  std::ifstream file(std::filesystem::path(own.dli_fname).parent_path() / "devices");
  std::vector<Fact> all;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    Fact fact;
    words >> fact.what >> fact.address;
    for (unsigned long long number = 0; words >> number;) fact.numbers.push_back(number);
    if (fact.what == "hang") {
      for (;;) pause();
    }
    all.push_back(fact);
  }
  return all;
}

// Handles are addresses of names, which never move.
std::deque<std::string>& names() {
  static std::deque<std::string> all;
  return all;
}

// The numbers of the first such fact; the answer when there is none.
int numbers_of(const void* device, const std::string& what, std::vector<unsigned long long>& numbers) {
  const std::string& address = *static_cast<const std::string*>(device);
  int answer = kNotSupported;
  for (const Fact& fact : facts()) {
    if (fact.address != address) continue;
    if (fact.what == "lost") return kLost;
    if (fact.what != what || answer == kSuccess) continue;
    numbers = fact.numbers;
    answer = kSuccess;
  }
  return answer;
}

template <typename Number>
int number_of(const void* device, const std::string& what, Number* number) {
  std::vector<unsigned long long> numbers;
  const int answer = numbers_of(device, what, numbers);
  if (answer == kSuccess) *number = static_cast<Number>(numbers.at(0));
  return answer;
}

struct Memory {
  unsigned long long total, free, used;
};
struct Process {
  unsigned pid;
  unsigned long long bytes;
  unsigned gpu_instance, compute_instance;
};
struct Event {
  void* device;
  unsigned long long type, data;
  unsigned gpu_instance, compute_instance;
};

std::vector<void*> registered;
size_t events_taken = 0;

}  // namespace

extern "C" {

int nvmlInit_v2() {
  facts();
  return kSuccess;
}
int nvmlShutdown() { return kSuccess; }

int nvmlDeviceGetHandleByPciBusId_v2(const char* address, void** device) {
  int answer = kNotFound;
  for (const Fact& fact : facts()) {
    if (fact.address == address && fact.what == "lost") return kLost;
    if (fact.address == address && fact.what == "device") answer = kSuccess;
  }
  if (answer != kSuccess) return answer;
  auto found = std::find(names().begin(), names().end(), address);
  if (found == names().end()) found = names().insert(names().end(), address);
  *device = &*found;
  return kSuccess;
}

int nvmlDeviceGetTotalEccErrors(void* device, int, int, unsigned long long* count) {
  return number_of(device, "ecc", count);
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void* device, unsigned long long* reasons) {
  return number_of(device, "throttle", reasons);
}
int nvmlDeviceGetRetiredPagesPendingStatus(void* device, int* pending) { return number_of(device, "pages", pending); }

int nvmlDeviceGetRemappedRows(void* device, unsigned* corrected, unsigned* uncorrected, unsigned* pending,
                              unsigned* failed) {
  std::vector<unsigned long long> numbers;
  const int answer = numbers_of(device, "rows", numbers);
  if (answer != kSuccess) return answer;
  *corrected = *uncorrected = 0;
  *pending = static_cast<unsigned>(numbers.at(0));
  *failed = static_cast<unsigned>(numbers.at(1));
  return kSuccess;
}

int nvmlDeviceGetMemoryInfo(void* device, Memory* memory) {
  std::vector<unsigned long long> numbers;
  const int answer = numbers_of(device, "memory", numbers);
  if (answer == kSuccess) *memory = {numbers.at(1), numbers.at(1) - numbers.at(0), numbers.at(0)};
  return answer;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned* count, Process* processes) {
  unsigned found = 0;
  for (const Fact& fact : facts()) {
    if (fact.what != "process" || fact.address != *static_cast<std::string*>(device) || found == *count) continue;
    processes[found++] = {static_cast<unsigned>(fact.numbers.at(0)), fact.numbers.at(1), 0, 0};
  }
  *count = found;
  return kSuccess;
}

int nvmlDeviceGetP2PStatus(void* one, void* other, int, int* status) {
  std::vector<unsigned long long> numbers;
  const bool strangers =
      numbers_of(one, "stranger", numbers) == kSuccess || numbers_of(other, "stranger", numbers) == kSuccess;
  *status = strangers ? 1 : 0;
  return kSuccess;
}
int nvmlDeviceGetNvLinkState(void* device, unsigned link, int* active) {
  unsigned links = 0;
  const int answer = number_of(device, "links", &links);
  if (answer == kSuccess) *active = link < links ? 1 : 0;
  return answer;
}

int nvmlEventSetCreate(void** set) {
  *set = &registered;
  return kSuccess;
}
int nvmlEventSetFree(void*) { return kSuccess; }
int nvmlDeviceRegisterEvents(void* device, unsigned long long, void*) {
  registered.push_back(device);
  return kSuccess;
}
int nvmlEventSetWait_v2(void*, Event* event, unsigned) {
  size_t seen = 0;
  for (const Fact& fact : facts()) {
    if (fact.what != "xid" || seen++ < events_taken) continue;
    ++events_taken;
    for (void* device : registered) {
      if (*static_cast<std::string*>(device) != fact.address) continue;
      *event = {device, 0x8, fact.numbers.at(0), 0, 0};
      return kSuccess;
    }
  }
  return kTimeout;
}

}  // extern "C"
