#include "launcher/workers/gpu_release.h"

#include "common/duration_text.h"
#include "launcher/report/gpu_health.h"

namespace ferrun {
namespace {

constexpr size_t kMostNamed = 4;

std::string text_of(const HeldMemory& held) {
  std::string text = held.device + ": ";
  if (held.bytes > 0) text += gibibytes(held.bytes) + " GiB by ";
  text += "pid " + std::to_string(held.pid);
  return text + (held.name.empty() ? ", which has ended" : " (" + held.name + ")");
}

}  // namespace

GpuRelease::Verdict GpuRelease::judge(const std::vector<HeldMemory>& held, TimePoint now) const {
  std::string named;
  size_t count = 0;
  for (const HeldMemory& each : held) {
    if (!dead_.contains(each.pid) && !(each.name.empty() && each.since_then)) continue;
    if (count++ < kMostNamed) named += (named.empty() ? "" : "; ") + text_of(each);
  }
  if (count == 0) return {};
  if (now - began_ < patience_) return {.go = false};
  if (count > kMostNamed) named += " and " + std::to_string(count - kMostNamed) + " more";
  return {.go = true,
          .line = "GPU memory of the attempt before is still held after " + exact_text(patience_) + " (" + named +
                  "): starting the next one all the same"};
}

}  // namespace ferrun
