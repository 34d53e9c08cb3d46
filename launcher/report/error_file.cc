#include "launcher/report/error_file.h"

#include <cxxabi.h>

#include <cctype>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>

#include "common/json_beginning.h"
#include "common/json_text.h"

namespace ferrun {
namespace {

using nlohmann::json;

ErrorFile unreadable(std::string problem) {
  ErrorFile file;
  file.state = ErrorFile::State::kUnreadable;
  file.problem = std::move(problem);
  return file;
}

// A number, or text that is one: torch writes its timestamps as text.
std::optional<double> number_in(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return std::nullopt;
  if (found->is_number()) return found->get<double>();
  if (!found->is_string()) return std::nullopt;
  const std::string& text = found->get_ref<const std::string&>();
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string text_in(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return {};
  return found->is_string() ? found->get<std::string>() : json_text(*found);
}

ErrorFile::Cause cause_in(const json& root) {
  const auto ours = root.find("ferrun");
  if (ours == root.end() || !ours->is_object()) return ErrorFile::Cause::kUnsaid;
  const std::string kind = text_in(*ours, "kind");
  if (kind == "own") return ErrorFile::Cause::kOwn;
  return kind == "lost_peer" ? ErrorFile::Cause::kLostPeer : ErrorFile::Cause::kUnsaid;
}

bool is_structured(const json& root) {
  return root.is_object() && root.contains("message") && root["message"].is_object();
}

// Frames of a crash name functions as the linker does, since nothing else can be done while a process crashes.
std::string with_readable_names(const std::string& callstack) {
  std::string text;
  size_t from = 0;
  for (size_t at = callstack.find("_Z"); at != std::string::npos; at = callstack.find("_Z", from)) {
    const auto is_of_name = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '$'; };
    size_t end = at;
    while (end < callstack.size() && is_of_name(static_cast<unsigned char>(callstack[end]))) ++end;
    const std::string name = callstack.substr(at, end - at);
    int failed = 0;
    const std::unique_ptr<char, decltype(&std::free)> readable(
        abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &failed), &std::free);
    text.append(callstack, from, at - from).append(failed == 0 ? readable.get() : name.c_str());
    from = end;
  }
  return text.append(callstack, from);
}

// Python's json writes what is none, and reads it: NaN and Infinity, and half of a pair of surrogates, which stands for
// a byte of a file's name that could not be decoded.
std::string without_pythons_additions(std::string_view text) {
  std::string plain;
  bool in_string = false;
  const auto is_half = [&](size_t at, char first, char last) {
    return at + 6 <= text.size() && text[at] == '\\' && text[at + 1] == 'u' && (text[at + 2] | 0x20) == 'd' &&
           (text[at + 3] | 0x20) >= first && (text[at + 3] | 0x20) <= last;
  };
  const auto is_high = [&](size_t at) { return is_half(at, '8', '9') || is_half(at, 'a', 'b'); };
  const auto is_low = [&](size_t at) { return is_half(at, 'c', 'f'); };
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    if (in_string && is_high(at) && is_low(at + 6)) {
      plain += text.substr(at, 12);
      at += 12;
    } else if (in_string && (is_high(at) || is_low(at))) {
      plain += "\\ufffd";
      at += 6;
    } else if (in_string && text[at] == '\\') {
      plain += text.substr(at, 2);
      at += 2;
    } else if (!in_string &&
               (rest.starts_with("NaN") || rest.starts_with("Infinity") || rest.starts_with("-Infinity"))) {
      plain += "null";
      at += rest.front() == 'N' ? 3 : rest.front() == 'I' ? 8 : 9;
    } else {
      if (text[at] == '"') in_string = !in_string;
      plain += text[at++];
    }
  }
  return plain;
}

json parse_pythons_json(std::string_view text) {
  json root = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded()) root = json::parse(without_pythons_additions(text), nullptr, /*allow_exceptions=*/false);
  return root;
}

}  // namespace

ErrorFile parse_error_file(const std::optional<std::string>& bytes) {
  if (!bytes || bytes->empty()) return {};
  const json root = parse_pythons_json(*bytes);
  if (root.is_discarded()) return unreadable("it is not JSON, or was cut off");
  if (!root.is_object() || !root.contains("message")) return unreadable("it has no \"message\"");
  ErrorFile file;
  file.state = ErrorFile::State::kRead;
  file.cause = cause_in(root);
  const json& message = root["message"];
  if (message.is_string()) {
    file.message = message.get<std::string>();
    file.timestamp = number_in(root, "timestamp");
    return file;
  }
  if (!message.is_object()) return unreadable("its \"message\" is neither text nor an object");
  file.message = text_in(message, "message");
  if (const auto extra = message.find("extraInfo"); extra != message.end() && extra->is_object()) {
    file.callstack = with_readable_names(text_in(*extra, "py_callstack"));
    file.timestamp = number_in(*extra, "timestamp");
  }
  return file;
}

ErrorFile parse_error_beginning(const std::string& bytes) {
  ErrorFile file = parse_error_file(completed_json(bytes));
  file.is_beginning = true;
  if (file.state == ErrorFile::State::kRead) return file;
  return unreadable("its beginning is that of no error file");
}

std::string error_file_for_parent(const std::optional<std::string>& bytes, const std::string& description,
                                  int exit_code) {
  json root = parse_pythons_json(bytes.value_or(""));
  if (root.is_discarded() || !root.is_object() || !root.contains("message")) {
    root = {{"message", {{"message", description}, {"extraInfo", json::object()}}}};
  }
  if (is_structured(root)) root["message"]["errorCode"] = exit_code;
  return json_text(root);
}

}  // namespace ferrun
