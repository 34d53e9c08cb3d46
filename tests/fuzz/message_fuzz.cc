// The rendezvous' messages and the job's status against arbitrary bytes: whatever comes is refused in one line, or is a
// value that is written and read back as itself.
//
// Input: one byte that chooses what the rest is read as.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "rendezvous/job/job_status.h"
#include "rendezvous/wire/frame_codec.h"
#include "rendezvous/wire/frame_seal.h"
#include "rendezvous/wire/message_codec.h"
#include "tests/fuzz/require.h"

namespace ferrun {
namespace {

template <typename Message>
void try_message(const Result<Message>& decoded, Result<Message> (*decode)(std::string_view), size_t frame_limit) {
  if (!decoded.ok()) {
    require(decoded.error().message.starts_with("sent a"), "a refusal says what was sent");
    return require(decoded.error().message.find('\n') == std::string::npos, "a refusal is one line");
  }
  // Reports that are too long together are cut when they are written: that must happen once only.
  const std::string written = encode(*decoded);
  require(written.size() + FrameSeal::kTagBytes <= frame_limit, "a message fits into a frame");
  const Result<Message> again = decode(written);
  require(again.ok(), "what is written can be read");
  require(encode(*again) == written, "what is written is read as itself");
}

void try_status(std::string_view json) {
  const Result<JobStatus> status = job_status_from_json(json);
  if (!status.ok()) return;
  const std::string text = to_text(*status);
  for (const char byte : text)
    require(byte == '\n' || byte == '\t' || static_cast<uint8_t>(byte) >= 0x20, "a terminal is safe");
  const Result<JobStatus> again = job_status_from_json(to_json(*status));
  require(again.ok() && *again == *status, "a status is written and read as itself");
}

}  // namespace
}  // namespace ferrun

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ferrun;
  if (size == 0) return 0;
  const std::string_view content(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0: try_message(decode_member_message(content), decode_member_message, kMemberFrameLimit); break;
    case 1: try_message(decode_coordinator_message(content), decode_coordinator_message, kCoordinatorFrameLimit); break;
    default: try_status(content); break;
  }
  return 0;
}
