// RFC 4231: test cases for HMAC-SHA256.
#include "rendezvous/wire/hmac.h"

#include <gtest/gtest.h>

#include <string>

namespace ferrun {
namespace {

std::string hexadecimal(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[static_cast<unsigned char>(byte) >> 4];
    text += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  return text;
}

std::string hmac(std::string_view key, std::string_view message) {
  const HmacKey prepared(key);
  const HmacDigest digest = Hmac(prepared).add(message).finish();
  return hexadecimal(bytes_of(digest));
}

TEST(Hmac, GivesTheValuesOfRfc4231) {
  EXPECT_EQ(hmac(std::string(20, '\x0b'), "Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hmac("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hmac(std::string(20, '\xaa'), std::string(50, '\xdd')),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
  std::string counting;
  for (char byte = 1; byte <= 25; ++byte) counting += byte;
  EXPECT_EQ(hmac(counting, std::string(50, '\xcd')),
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
  EXPECT_EQ(hmac(std::string(20, '\x0c'), "Test With Truncation").substr(0, 32), "a3b6167473100ee06e0c796c2955552b");
  EXPECT_EQ(hmac(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  EXPECT_EQ(hmac(std::string(131, '\xaa'),
                 "This is a test using a larger than block-size key and a larger than block-size data. The key needs "
                 "to be hashed before being used by the HMAC algorithm."),
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

TEST(Hmac, TakesAnEmptyKey) {
  EXPECT_EQ(hmac("", ""), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(Hmac, IsTheSameInPiecesAndForEveryUseOfAKey) {
  const HmacKey key("key");
  const std::string message(1000, 'm');
  const HmacDigest whole = Hmac(key).add(message).finish();
  for (size_t at : {0, 1, 63, 64, 65, 1000}) {
    EXPECT_EQ(Hmac(key).add(message.substr(0, at)).add(message.substr(at)).finish(), whole) << at;
  }
}

TEST(SameMac, ComparesContentAndLength) {
  EXPECT_TRUE(same_mac("abcd", "abcd"));
  EXPECT_FALSE(same_mac("abcd", "abce"));
  EXPECT_FALSE(same_mac("abcd", "abc"));
  EXPECT_TRUE(same_mac("", ""));
}

}  // namespace
}  // namespace ferrun
