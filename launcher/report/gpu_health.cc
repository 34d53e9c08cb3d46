#include "launcher/report/gpu_health.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "common/text.h"

namespace ferrun {
namespace {

constexpr size_t kMostXids = 4;
constexpr size_t kMostHolders = 4;
// Of the device's memory, in percent: what a display or a monitor holds is not worth a word.
constexpr uint64_t kMuchMemory = 10;

constexpr std::array<std::pair<int, std::string_view>, 16> kXids = {{
    {13, "graphics engine exception: an illegal address or instruction of the program"},
    {31, "memory page fault: an illegal address of the program"},
    {43, "the GPU stopped processing"},
    {45, "preemptive cleanup after an earlier error"},
    {48, "double-bit ECC error"},
    {62, "the GPU's controller halted"},
    {63, "a memory row or page was retired"},
    {64, "a memory row or page could not be retired"},
    {69, "graphics engine class error"},
    {74, "NVLink error"},
    {79, "the GPU has fallen off the bus"},
    {92, "many single-bit ECC errors"},
    {94, "contained ECC error: only this program is harmed"},
    {95, "uncontained ECC error: the GPU must be reset"},
    {119, "the GPU's system processor does not answer"},
    {120, "error of the GPU's system processor"},
}};

constexpr std::array<std::pair<uint64_t, std::string_view>, 4> kSlowdowns = {{
    {0x08, "hardware slowdown"},
    {0x20, "too hot"},
    {0x40, "too hot (hardware)"},
    {0x80, "power brake"},
}};

std::string xid_line(const Xid& xid) {
  std::string line = "Xid " + std::to_string(xid.number);
  if (!xid.text.empty()) return line + ": " + xid.text;
  const auto* known = std::ranges::find(kXids, xid.number, &std::pair<int, std::string_view>::first);
  if (known != kXids.end()) line += ": " + std::string(known->second);
  return line;
}

std::string memory_line(const GpuHealth& now) {
  if (now.memory_total == 0 || now.memory_used < now.memory_total / 100 * kMuchMemory) return "";
  std::string line =
      gibibytes(now.memory_used) + " of " + gibibytes(now.memory_total) + " GiB of memory are still in use";
  for (size_t at = 0; at < now.holders.size() && at < kMostHolders; ++at) {
    const GpuHolder& holder = now.holders[at];
    line += (at == 0 ? ": by pid " : ", pid ") + std::to_string(holder.pid);
    if (!holder.name.empty()) line += " (" + holder.name + ")";
    if (holder.bytes > 0) line += " " + gibibytes(holder.bytes) + " GiB";
  }
  if (now.holders.size() > kMostHolders) line += " and " + std::to_string(now.holders.size() - kMostHolders) + " more";
  return line;
}

std::string ecc_line(const std::optional<GpuHealth>& before, const GpuHealth& now) {
  const uint64_t errors = now.double_bit_errors.value_or(0);
  if (errors == 0) return "";
  if (!before || !before->double_bit_errors) {
    return std::to_string(errors) + " uncorrected (double-bit) ECC errors since its driver was loaded";
  }
  const uint64_t earlier = *before->double_bit_errors;
  if (errors <= earlier) return "";
  const uint64_t fresh = errors - earlier;
  return std::to_string(fresh) +
         (fresh == 1 ? " uncorrected (double-bit) ECC error" : " uncorrected (double-bit) ECC errors") +
         " since the workers started";
}

}  // namespace

std::string gibibytes(uint64_t bytes) {
  const uint64_t tenths = (bytes * 10 + (uint64_t{1} << 29)) >> 30;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
}

std::optional<Xid> parse_xid(std::string_view line) {
  constexpr std::string_view kBegin = "NVRM: Xid (PCI:";
  const size_t begin = line.find(kBegin);
  if (begin == std::string_view::npos) return std::nullopt;
  line.remove_prefix(begin + kBegin.size());
  const size_t closing = line.find("): ");
  if (closing == std::string_view::npos) return std::nullopt;
  Xid xid;
  xid.pci_address = line.substr(0, closing);
  if (xid.pci_address.find('.') == std::string::npos) xid.pci_address += ".0";  // without a function
  line.remove_prefix(closing + std::string_view("): ").size());
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), xid.number);
  if (error != std::errc()) return std::nullopt;
  line.remove_prefix(static_cast<size_t>(end - line.data()));
  if (line.starts_with(',')) line.remove_prefix(1);
  xid.text = strip(line);
  return xid;
}

std::vector<std::string> gpu_lines(const std::optional<GpuHealth>& before, const GpuHealth& now,
                                   const std::vector<Xid>& xids) {
  std::vector<std::string> lines;
  std::vector<std::string> told;
  for (const Xid& xid : xids) {
    if (xid.pci_address != now.pci_address) continue;
    std::string line = xid_line(xid);
    if (std::ranges::find(told, line) == told.end()) told.push_back(std::move(line));
  }
  const auto add = [&](const std::string& line) {
    if (!line.empty()) lines.push_back(now.pci_address + ": " + line);
  };
  for (size_t at = 0; at < told.size() && at < kMostXids; ++at) add(told[at]);
  if (told.size() > kMostXids) add(std::to_string(told.size() - kMostXids) + " more Xids");
  if (now.lost) add("has fallen off the bus: the driver has lost it until it is reset or the machine restarted");
  if (now.reset_required) add("must be reset (nvidia-smi --gpu-reset) before it can be used again");
  add(ecc_line(before, now));
  if (now.row_remap_failed) add("a defective row of memory could not be remapped: the device is to be replaced");
  if (now.rows_pending) add("remapped rows of memory wait for a reset (nvidia-smi --gpu-reset)");
  if (now.pages_pending) add("retired pages of memory wait for a reset (nvidia-smi --gpu-reset)");
  for (const auto& [bit, reason] : kSlowdowns) {
    if ((now.throttle_reasons & bit) != 0) add("clocks are throttled: " + std::string(reason));
  }
  add(memory_line(now));
  return lines;
}

}  // namespace ferrun
