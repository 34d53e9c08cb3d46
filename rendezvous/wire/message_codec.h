// The messages of messages.h as bytes and back: a kind byte, then the fields in their order, little-endian. PROTOCOL.md
// has every kind and field. The session carries the version. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/result.h"
#include "rendezvous/wire/messages.h"

namespace ferrun {

// Limits of what is read. What is longer is cut when it is written, texts not inside a UTF-8 character, so that no
// message is refused for its size.
inline constexpr size_t kMaxNameBytes = 256;     // host, role, launch id, name of a term
inline constexpr size_t kMaxAddressBytes = 64;   // numeric, with an IPv6 zone
inline constexpr size_t kMaxAddresses = 32;      // of one node
inline constexpr size_t kMaxAdmitted = 120'000;  // all of the longest fit into one frame
inline constexpr size_t kMaxTerms = 32;
inline constexpr size_t kMaxTermBytes = 2048;      // the value of one
inline constexpr size_t kMaxSentenceBytes = 4096;  // a reason, a line of a report
inline constexpr size_t kMaxReportLines = 512;     // of one failure, of an end
inline constexpr size_t kMaxFailures = 256;        // the first ones stay
inline constexpr size_t kMaxStatusBytes = (8 << 20) - 64;

// All reports of one message together. Of failures the first ones keep theirs, every further one keeps the beginning
// of its first line; of an end the last lines stay, where the root cause is.
inline constexpr size_t kMaxReportBytes = 64 << 10;
inline constexpr size_t kShortReportBytes = 200;

// The content of one frame.
std::string encode(const MemberMessage& message);
std::string encode(const CoordinatorMessage& message);

// kPlatform with the second half of a sentence about the sender ("sent a Join that …") for anything else than exactly
// one message that keeps the limits.
Result<MemberMessage> decode_member_message(std::string_view content);
Result<CoordinatorMessage> decode_coordinator_message(std::string_view content);

}  // namespace ferrun
