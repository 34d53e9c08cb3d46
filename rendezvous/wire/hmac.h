// HMAC-SHA256 (RFC 2104), by libsodium. Pure values; nothing has to be initialized. Random bytes come from io/.
#pragma once

#include <sodium/crypto_auth_hmacsha256.h>

#include <array>
#include <cstddef>
#include <string_view>

namespace ferrun {

using HmacDigest = std::array<unsigned char, crypto_auth_hmacsha256_BYTES>;

// A key of any length, an empty one too, prepared for many messages.
class HmacKey {
 public:
  explicit HmacKey(std::string_view key);

 private:
  friend class Hmac;
  crypto_auth_hmacsha256_state state_;
};

// The MAC of one message, given piece by piece.
class Hmac {
 public:
  explicit Hmac(const HmacKey& key) : state_(key.state_) {}
  Hmac& add(std::string_view bytes);
  // Once.
  HmacDigest finish();

 private:
  crypto_auth_hmacsha256_state state_;
};

// In a time that does not depend on the contents. False for different lengths.
bool same_mac(std::string_view one, std::string_view other);

inline std::string_view bytes_of(const HmacDigest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace ferrun
