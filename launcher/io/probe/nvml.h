// NVIDIA's management library (NVML), loaded at run time: where it is absent, nothing is linked against and nothing
// missing. Declares the few calls and constants that are used, by the ABI that NVML keeps.
//
// Ownership and thread rule: used by one thread, which may wait in any call for a driver that hangs: never the loop's.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launcher/report/gpu_health.h"

namespace ferrun {

class Nvml {
 public:
  // Null when `library` cannot be loaded or initialized.
  static std::unique_ptr<Nvml> load(const std::string& library);
  ~Nvml();  // shuts NVML down
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  // The device of this PCI address, now. One that NVML cannot find has an address and nothing else.
  GpuHealth health(const std::string& pci_address);

  // The processes that have memory of it, now; none where the driver does not tell.
  std::vector<GpuHolder> holders(const std::string& pci_address);

  // Whether one device may read the other's memory; none where it cannot be told.
  std::optional<bool> peer_access(const std::string& from, const std::string& to);
  // How many of the device's NVLinks are active.
  int active_links(const std::string& pci_address);

  // From now on Xids of these devices are remembered by the driver, in addition to those watched already.
  void watch_xids(const std::vector<std::string>& pci_addresses);
  // Those that have come since the last call.
  std::vector<Xid> take_xids();

 private:
  struct Calls;
  struct Watched;
  explicit Nvml(std::unique_ptr<Calls> calls);

  std::unique_ptr<Calls> calls_;
  std::unique_ptr<Watched> watched_;
};

}  // namespace ferrun
