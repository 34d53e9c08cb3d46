#include "common/foreign_file.h"

#include <algorithm>
#include <string>

namespace ferrun {
namespace {

using namespace std::string_view_literals;

struct Magic {
  std::string_view begin;
  ForeignFile file;
};

constexpr Magic kMagics[] = {
    {"version https://git-lfs.github.com/spec/"sv,
     {"a Git LFS pointer, not the file itself", "fetch it with 'git lfs pull'"}},
    {"PK\3\4"sv, {"a ZIP archive", "unpack it"}},
    {"\x1f\x8b"sv, {"a gzip archive", "unpack it with gunzip or tar -xzf"}},
    {"\xfd\x37zXZ"sv, {"an xz archive", "unpack it with unxz or tar -xJf"}},
    {"\x28\xb5\x2f\xfd"sv, {"a zstd archive", "unpack it with unzstd"}},
    {"%PDF-"sv, {"a PDF", ""}},
    {"\0\5\x16\7"sv, {"macOS's metadata of another file (AppleDouble)", "delete it: find . -name '._*' -delete"}},
};

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& letter : lower) {
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  }
  return lower;
}

// `text` begins with "<".
ForeignFile markup(std::string_view text) {
  const std::string lower = lower_case(text);
  if (lower.starts_with("<!doctype html") || lower.starts_with("<head") || lower.find("<html") != std::string::npos) {
    return {"a web page (HTML), as a download that needs a login or a confirmation leaves", "download it again"};
  }
  if (lower.find("<svg") != std::string::npos) return {"an SVG", "convert it to JPEG or PNG"};
  return {"text (XML)", ""};
}

}  // namespace

std::optional<ForeignFile> foreign_file(std::string_view bytes) {
  for (const Magic& magic : kMagics) {
    if (bytes.starts_with(magic.begin)) return magic.file;
  }
  std::string_view text = bytes.substr(0, 512);
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  if (text.starts_with('<')) return markup(text);
  if (bytes.size() >= 16 && std::all_of(bytes.begin(), bytes.end(), [](char byte) { return byte == 0; })) {
    return ForeignFile{"nothing but zeros, as a copy that broke off leaves", "copy it again"};
  }
  return std::nullopt;
}

}  // namespace ferrun
