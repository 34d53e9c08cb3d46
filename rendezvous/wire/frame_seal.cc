#include "rendezvous/wire/frame_seal.h"

#include <cstring>

#include "rendezvous/wire/frame_codec.h"

namespace ferrun {

HmacDigest FrameSeal::mac(Side sender, uint64_t number, std::string_view content) const {
  char head[1 + sizeof number];
  head[0] = static_cast<char>(sender);
  std::memcpy(head + 1, &number, sizeof number);
  return Hmac(key_).add({head, sizeof head}).add(content).finish();
}

void FrameSeal::seal(std::string_view content, std::string& out) {
  const HmacDigest tag = mac(self_, sent_++, content);
  append_frame_header(out, content.size() + kTagBytes);
  out.append(content).append(bytes_of(tag).substr(0, kTagBytes));
}

std::optional<std::string_view> FrameSeal::open(std::string_view frame) {
  if (frame.size() < kTagBytes) return std::nullopt;
  const std::string_view content = frame.substr(0, frame.size() - kTagBytes);
  const Side other = self_ == Side::kClient ? Side::kServer : Side::kClient;
  const HmacDigest tag = mac(other, received_, content);
  if (!same_mac(bytes_of(tag).substr(0, kTagBytes), frame.substr(content.size()))) return std::nullopt;
  ++received_;
  return content;
}

}  // namespace ferrun
