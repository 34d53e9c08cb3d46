#include "rendezvous/wire/frame_codec.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "common/printable_text.h"

namespace ferrun {
namespace {

static_assert(std::endian::native == std::endian::little, "the protocol's integers are the host's, little-endian");

// A connection that once carried a large frame does not keep its memory.
constexpr size_t kKeptInput = 16 << 10;

// The beginning of a foreign stream, for a person.
std::string first_words(std::string_view bytes) {
  return printable(bytes.substr(0, std::min<size_t>(bytes.find_first_of("\r\n"), 32)));
}

}  // namespace

void append_frame_header(std::string& out, size_t size) {
  const auto field = static_cast<uint32_t>(size);
  char bytes[kFrameHeaderBytes];
  std::memcpy(bytes, &field, sizeof field);
  out.append(bytes, sizeof bytes);
}

Caller caller_of(std::string_view first_bytes) {
  if (first_bytes.empty()) return Caller::kUndecided;
  if (first_bytes.front() == '\0') return Caller::kStoreClient;
  const std::string_view seen = first_bytes.substr(0, kStreamMagic.size());
  if (seen != kStreamMagic.substr(0, seen.size())) return Caller::kNeither;
  return seen.size() == kStreamMagic.size() ? Caller::kAgent : Caller::kUndecided;
}

void FrameReader::feed(std::string_view bytes) {
  if (refused_ != Outcome::kNeedMore) return;
  if (held_.empty()) {
    input_ = bytes;
    cursor_ = 0;
  } else {
    held_.append(bytes);
    input_ = held_;
  }
}

FrameReader::Outcome FrameReader::next(std::string_view& frame) {
  if (refused_ != Outcome::kNeedMore) return refused_;
  std::string_view rest = input_.substr(cursor_);
  if (!begun_) {
    const std::string_view seen = rest.substr(0, kStreamMagic.size());
    if (seen != kStreamMagic.substr(0, seen.size()))
      return refuse(Outcome::kForeign,
                    "it does not speak ferrun's protocol: it begins with \"" + first_words(rest) + "\"");
    if (seen.size() < kStreamMagic.size()) return keep();
    begun_ = true;
    cursor_ += kStreamMagic.size();
    rest.remove_prefix(kStreamMagic.size());
  }
  uint32_t size = 0;
  if (rest.size() < sizeof size) return keep();
  std::memcpy(&size, rest.data(), sizeof size);
  if (size > limit_)
    return refuse(Outcome::kRefused,
                  "it sent a frame of " + std::to_string(size) + " bytes (at most " + std::to_string(limit_) + ")");
  rest.remove_prefix(sizeof size);
  if (rest.size() < size) return keep();
  frame = rest.substr(0, size);
  cursor_ += sizeof size + size;
  return Outcome::kFrame;
}

FrameReader::Outcome FrameReader::keep() {
  const bool in_place = !held_.empty();
  if (in_place) {
    held_.erase(0, cursor_);
  } else {
    held_.assign(input_.substr(cursor_));
  }
  if (held_.empty() && held_.capacity() > kKeptInput) held_.shrink_to_fit();
  cursor_ = 0;
  input_ = held_;
  return Outcome::kNeedMore;
}

FrameReader::Outcome FrameReader::refuse(Outcome outcome, std::string why) {
  refused_ = outcome;
  refusal_ = std::move(why);
  held_.clear();
  held_.shrink_to_fit();
  input_ = {};
  cursor_ = 0;
  return refused_;
}

}  // namespace ferrun
