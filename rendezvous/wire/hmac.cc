#include "rendezvous/wire/hmac.h"

#include <sodium/utils.h>

namespace ferrun {
namespace {

const unsigned char* data_of(std::string_view bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }

}  // namespace

HmacKey::HmacKey(std::string_view key) { crypto_auth_hmacsha256_init(&state_, data_of(key), key.size()); }

Hmac& Hmac::add(std::string_view bytes) {
  crypto_auth_hmacsha256_update(&state_, data_of(bytes), bytes.size());
  return *this;
}

HmacDigest Hmac::finish() {
  HmacDigest digest;
  crypto_auth_hmacsha256_final(&state_, digest.data());
  return digest;
}

bool same_mac(std::string_view one, std::string_view other) {
  return one.size() == other.size() && sodium_memcmp(one.data(), other.data(), one.size()) == 0;
}

}  // namespace ferrun
