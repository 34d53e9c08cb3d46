// Fields as bytes and back: little-endian integers, texts behind their length, lists behind their count. Pure values.
//
// Reading never fails halfway: after the first field that is not there or breaks a limit every further one reads as
// zero or empty, and error() names that first one.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace ferrun {

static_assert(std::endian::native == std::endian::little, "the protocol's integers are the host's, little-endian");

class ByteWriter {
 public:
  explicit ByteWriter(std::string& out) : out_(out) {}

  template <std::integral T>
  void integer(T value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out_.append(bytes, sizeof bytes);
  }
  void raw(std::string_view bytes) { out_.append(bytes); }

 private:
  std::string& out_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  template <std::integral T>
  T integer(const char* what) {
    T value{};
    const std::string_view bytes = raw(sizeof value, what);
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }

  // Exactly so many bytes; none after an error.
  std::string_view raw(size_t size, const char* what) {
    if (!ok()) return {};
    if (rest_.size() < size) {
      fail("ends within its " + std::string(what));
      return {};
    }
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }

  // The first reason counts. As the rest of a clause that begins with "that".
  void fail(std::string why) {
    if (!ok()) return;
    error_ = std::move(why);
    rest_ = {};
  }

  // To be called after the last field.
  void finish() {
    if (ok() && !rest_.empty()) fail("goes on for " + std::to_string(rest_.size()) + " bytes behind its end");
  }

  bool ok() const { return error_.empty(); }
  const std::string& error() const { return error_; }
  size_t left() const { return rest_.size(); }

 private:
  std::string_view rest_;
  std::string error_;
};

}  // namespace ferrun
