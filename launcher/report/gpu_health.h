// What NVIDIA's driver knows of a failed worker's GPU, and which of it explains a failure. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ferrun {

// An error that the driver has told in the kernel log or as an event. Numbers: NVIDIA's "XID Errors".
struct Xid {
  std::string pci_address;  // "0000:41:00.0"
  int number = 0;
  std::string text = {};  // the log's own words; empty from an event
  bool operator==(const Xid&) const = default;
};

// "NVRM: Xid (PCI:0000:41:00): 79, pid=4711, name=python, GPU has fallen off the bus." as the kernel log has it, with
// or without what stands before NVRM; none for any other line.
std::optional<Xid> parse_xid(std::string_view line);

// "12.5", of so many bytes.
std::string gibibytes(uint64_t bytes);

struct GpuHolder {
  int pid = 0;
  std::string name;    // empty: not known, as of a process of another container
  uint64_t bytes = 0;  // of the device's memory; 0: not told
};

// One GPU at one moment. What the driver does not tell, or the model does not have, is none or false.
struct GpuHealth {
  std::string pci_address;
  bool lost = false;                          // has fallen off the bus, or hangs until it is reset
  bool reset_required = false;                // likewise
  std::optional<uint64_t> double_bit_errors;  // uncorrected, since the driver was loaded
  uint64_t throttle_reasons = 0;              // NVML's bits
  bool pages_pending = false;                 // retired pages that wait for a reset
  bool rows_pending = false;                  // remapped rows that do
  bool row_remap_failed = false;
  uint64_t memory_used = 0;  // bytes
  uint64_t memory_total = 0;
  std::vector<GpuHolder> holders;
};

// "0000:41:00.0: ..." for each thing worth knowing of a failed worker's device: the Xids of its address, what has
// become of it since `before` (none: it was not looked at when the workers started), what waits for a reset, and who
// else holds its memory. Empty when there is nothing.
std::vector<std::string> gpu_lines(const std::optional<GpuHealth>& before, const GpuHealth& now,
                                   const std::vector<Xid>& xids);

}  // namespace ferrun
