#include "worker/ddp/failure_words.h"

#include <algorithm>
#include <initializer_list>

namespace ferrun::ddp {
namespace {

bool mentions(std::string_view text, std::initializer_list<std::string_view> phrases) {
  return std::ranges::any_of(phrases, [&](std::string_view phrase) { return text.find(phrase) != text.npos; });
}

}  // namespace

FailureWords meaning_of(std::string_view line) {
  // NCCL's watchdog: "Watchdog caught collective operation timeout: … ran for 300123 milliseconds before timing out."
  if (mentions(line, {"Timed out waiting", "wait timeout", "Socket Timeout", "timed out",
                      "Watchdog caught collective operation timeout"})) {
    return FailureWords::kTimedOut;
  }
  if (mentions(line, {"Connection closed by peer", "Connection reset by peer", "Broken pipe", "Connection refused",
                      "ncclRemoteError", "remote process exited"})) {
    return FailureWords::kLostPeer;
  }
  return mentions(line, {"gloo", "NCCL"}) ? FailureWords::kCollective : FailureWords::kNone;
}

}  // namespace ferrun::ddp
