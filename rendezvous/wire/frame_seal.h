// Seals the frames that one side of an authenticated session sends and opens those of the other side: each carries a
// MAC over its direction, its number and its content. Pure; owned by the session.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "rendezvous/wire/hmac.h"

namespace ferrun {

class FrameSeal {
 public:
  static constexpr size_t kTagBytes = 16;  // of a frame, at its end

  enum class Side : uint8_t { kClient = 1, kServer = 2 };
  FrameSeal(const HmacDigest& session_key, Side self) : key_(bytes_of(session_key)), self_(self) {}

  // Appends a whole frame: size, content, tag.
  void seal(std::string_view content, std::string& out);
  // The content of the other side's next frame; none when it is not the very one that was sealed next.
  std::optional<std::string_view> open(std::string_view frame);

 private:
  HmacDigest mac(Side sender, uint64_t number, std::string_view content) const;

  HmacKey key_;
  Side self_;
  uint64_t sent_ = 0;
  uint64_t received_ = 0;
};

}  // namespace ferrun
