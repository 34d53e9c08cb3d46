// JSON as text, written member by member: a document of 10,000 nodes in memory would hold the coordinator up. Pure.
//
// The caller opens and closes what it names. Bytes that are no UTF-8 are replaced.
#pragma once

#include <algorithm>
#include <concepts>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace ferrun {

class JsonWriter {
 public:
  void open(char bracket) {
    out_ += bracket;
    first_ = true;
  }
  void close(char bracket) {
    out_ += bracket;
    first_ = false;
  }

  JsonWriter& name(std::string_view name) {
    next();
    (out_ += '"').append(name) += "\":";
    first_ = true;
    return *this;
  }
  void value(std::integral auto number) {
    next();
    out_ += std::to_string(number);
  }
  void value(std::string_view text) {
    next();
    const auto plain = [](char c) { return c >= ' ' && c < '\x7f' && c != '"' && c != '\\'; };
    if (std::ranges::all_of(text, plain)) {
      (out_ += '"').append(text) += '"';
    } else {
      out_ += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
  }
  // An element of an array that is an object or an array itself.
  void next() {
    if (!first_) out_ += ',';
    first_ = false;
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
  bool first_ = true;
};

}  // namespace ferrun
