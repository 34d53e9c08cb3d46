#include "launcher/config/file_nature.h"

#include <algorithm>
#include <vector>

namespace ferrun {
namespace {

constexpr std::string_view kScriptMark = "#!";

std::vector<std::string_view> words_of_first_line(std::string_view text) {
  text = text.substr(0, text.find_first_of("\r\n"));
  std::vector<std::string_view> words;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find_first_of(" \t", begin), text.size());
    if (end > begin) words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

std::string_view last_part(std::string_view path) { return path.substr(path.rfind('/') + 1); }

bool is_python(std::string_view interpreter) {
  const std::string_view name = last_part(interpreter);
  return name.starts_with("python") || name.starts_with("pypy");
}

// Two bytes that name the version, "\r\n", and 32 bits of flags of which two are in use.
bool is_byte_code(std::string_view bytes) {
  constexpr size_t kHeader = 16;
  if (bytes.size() < kHeader || bytes.substr(2, 2) != "\r\n") return false;
  const std::string_view flags = bytes.substr(4, 4);
  return static_cast<unsigned char>(flags[0]) <= 3 && flags.substr(1) == std::string_view("\0\0\0", 3);
}

bool is_archive(std::string_view bytes) { return bytes.starts_with("PK\x03\x04") || bytes.starts_with("PK\x05\x06"); }

// Python takes every encoding that keeps ASCII, so that only control characters tell data from a script.
bool is_text(std::string_view bytes) {
  return std::ranges::all_of(
      bytes, [](unsigned char c) { return c >= 0x20 ? c != 0x7f : (c >= '\t' && c <= '\r') || c == '\x1b'; });
}

}  // namespace

std::string interpreter_of(std::string_view beginning) {
  if (!beginning.starts_with(kScriptMark)) return {};
  const std::vector<std::string_view> words = words_of_first_line(beginning.substr(kScriptMark.size()));
  if (words.empty()) return {};
  if (last_part(words.front()) != "env") return std::string(words.front());
  // env's own options and the variables that it sets come before the name.
  const auto name = std::find_if(words.begin() + 1, words.end(), [](std::string_view word) {
    return !word.starts_with('-') && word.find('=') == std::string_view::npos;
  });
  return std::string(name == words.end() ? words.front() : *name);
}

FileNature nature_of(std::string_view beginning) {
  if (beginning.starts_with("\x7f"
                            "ELF"))
    return FileNature::kProgram;
  if (beginning.starts_with(kScriptMark)) {
    return is_python(interpreter_of(beginning)) ? FileNature::kPythonScript : FileNature::kOtherScript;
  }
  if (is_archive(beginning)) return FileNature::kArchive;
  if (is_byte_code(beginning)) return FileNature::kByteCode;
  return is_text(beginning) ? FileNature::kText : FileNature::kData;
}

}  // namespace ferrun
