#include "rendezvous/etcd/etcd_codec.h"

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "common/json_text.h"
#include "common/printable_text.h"

namespace ferrun::etcd {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr size_t kLongestLine = 300;

int digit_value(char c) {
  const size_t found = kDigits.find(c);
  return found == std::string_view::npos ? -1 : static_cast<int>(found);
}

// A number as the gateway writes it, in a string; some proxies write it plainly.
int64_t number(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return 0;
  if (found->is_number_integer()) return found->get<int64_t>();
  if (!found->is_string()) return 0;
  const auto& text = found->get_ref<const std::string&>();
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : 0;
}

std::string text_of(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string bytes_of(const json& object, const char* name) {
  return from_base64(text_of(object, name)).value_or(std::string());
}

ordered_json json_of(const Compare& compare) {
  const bool created = compare.what == Compare::What::kCreateRevision;
  return {{"key", to_base64(compare.key)},
          {"target", created ? "CREATE" : "MOD"},
          {"result", "EQUAL"},
          {created ? "create_revision" : "mod_revision", std::to_string(compare.revision)}};
}

ordered_json json_of(const Operation& operation) {
  ordered_json request{{"key", to_base64(operation.key)}};
  switch (operation.what) {
    case Operation::What::kRange: return {{"request_range", request}};
    case Operation::What::kDelete: return {{"request_delete_range", request}};
    case Operation::What::kPut: break;
  }
  request["value"] = to_base64(operation.value);
  if (operation.lease != 0) request["lease"] = std::to_string(operation.lease);
  return {{"request_put", request}};
}

template <typename Line>
ordered_json list_of(const std::vector<Line>& lines) {
  ordered_json list = ordered_json::array();
  for (const Line& line : lines) list.push_back(json_of(line));
  return list;
}

Request request(const char* path, const ordered_json& body) { return {path, json_text(body)}; }

void take_pairs(const json& range, std::vector<Pair>& into) {
  const auto pairs = range.find("kvs");
  if (pairs == range.end() || !pairs->is_array()) return;
  for (const json& entry : *pairs) {
    into.push_back({bytes_of(entry, "key"), bytes_of(entry, "value"), number(entry, "create_revision"),
                    number(entry, "mod_revision"), number(entry, "lease")});
  }
}

Reply reply_of(const json& object) {
  Reply reply;
  if (const auto header = object.find("header"); header != object.end()) reply.revision = number(*header, "revision");
  const auto succeeded = object.find("succeeded");
  reply.succeeded = succeeded != object.end() && succeeded->is_boolean() && succeeded->get<bool>();
  if (const auto responses = object.find("responses"); responses != object.end() && responses->is_array()) {
    for (const json& response : *responses) {
      if (const auto range = response.find("response_range"); range != response.end()) take_pairs(*range, reply.pairs);
    }
  }
  reply.lease = number(object, "ID");
  reply.seconds = number(object, "TTL");
  reply.token = text_of(object, "token");
  return reply;
}

// gRPC's codes, and etcd's words where one code means several things.
Refusal refusal_of(int64_t code, std::string_view words) {
  const auto says = [words](std::string_view part) { return words.find(part) != std::string_view::npos; };
  if (says("database space exceeded")) return Refusal::kFull;
  if (says("invalid auth token") || says("user name is empty")) return Refusal::kUnauthenticated;
  if (says("authentication failed") || says("permission denied")) return Refusal::kForbidden;
  if (says("no leader") || says("request timed out") || says("leader changed")) return Refusal::kNoQuorum;
  switch (code) {
    case 4:
    case 14: return Refusal::kNoQuorum;
    case 7: return Refusal::kForbidden;
    case 16: return Refusal::kUnauthenticated;
    default: return Refusal::kOther;
  }
}

Failure failure_of(unsigned status, const json& object) {
  std::string words = text_of(object, "message");
  if (words.empty()) words = text_of(object, "error");
  if (words.empty()) words = "HTTP status " + std::to_string(status);
  return {refusal_of(number(object, "code"), words), printable(words).substr(0, kLongestLine)};
}

}  // namespace

std::string to_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (size_t k = 0; k < 4; ++k) text += k <= count ? kDigits[group >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

std::optional<std::string> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    uint32_t group = 0;
    for (size_t k = 0; k < 4; ++k) {
      const bool pads = i + k >= text.size() - padding;
      const int value = pads ? 0 : digit_value(text[i + k]);
      if (value < 0) return std::nullopt;
      group = group << 6 | static_cast<uint32_t>(value);
    }
    for (int shift = 16; shift >= 0; shift -= 8) bytes += static_cast<char>(group >> shift & 0xff);
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

Request range(const std::vector<std::string>& keys) {
  std::vector<Operation> operations;
  operations.reserve(keys.size());
  for (const std::string& key : keys) operations.push_back({Operation::What::kRange, key, "", 0});
  return transaction({}, operations, {});
}

Request transaction(const std::vector<Compare>& compares, const std::vector<Operation>& success,
                    const std::vector<Operation>& failure) {
  return request("/v3/kv/txn",
                 {{"compare", list_of(compares)}, {"success", list_of(success)}, {"failure", list_of(failure)}});
}

Request grant(int64_t seconds) { return request("/v3/lease/grant", {{"TTL", std::to_string(seconds)}}); }
Request keep_alive(int64_t lease) { return request("/v3/lease/keepalive", {{"ID", std::to_string(lease)}}); }
Request revoke(int64_t lease) { return request("/v3/lease/revoke", {{"ID", std::to_string(lease)}}); }
Request authenticate(const std::string& user, const std::string& password) {
  return request("/v3/auth/authenticate", {{"name", user}, {"password", password}});
}

Outcome decode(unsigned status, std::string_view body) {
  const json object = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    const std::string words = status == 200 ? "an answer that is not etcd's" : "HTTP status " + std::to_string(status);
    return {Failure{Refusal::kOther, words + ": is this etcd 3.4 or later, at its client port?"}, {}};
  }
  // A stream (keepalive is one) wraps each of its answers, and its errors.
  if (const auto error = object.find("error"); error != object.end() && error->is_object()) {
    return {failure_of(status, *error), {}};
  }
  if (status != 200) return {failure_of(status, object), {}};
  const auto result = object.find("result");
  return {std::nullopt, reply_of(result != object.end() && result->is_object() ? *result : object)};
}

}  // namespace ferrun::etcd
