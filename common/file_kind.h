// What a file really is that is not what its name says: said by its first bytes, with what helps. Pure.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace ferrun {

// A phrase for "the file is …", with the remedy; empty for bytes that it does not know. Pictures are not its business.
inline std::string foreign_file_kind(std::string_view bytes) {
  constexpr std::string_view kLfs = "version https://git-lfs.github.com/spec/";
  if (bytes.starts_with(kLfs)) return "a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'";
  if (bytes.starts_with("PK\3\4")) return "a ZIP archive; unpack it";
  if (bytes.starts_with("\x1f\x8b")) return "a gzip archive; unpack it";
  if (bytes.starts_with("%PDF-")) return "a PDF";
  if (bytes.starts_with(std::string_view("\0\5\x16\7", 4)))
    return "macOS's metadata of another file (AppleDouble); delete it: find . -name '._*' -delete";
  std::string_view text = bytes.substr(0, 512);
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  if (text.starts_with('<')) {
    std::string lower(text);
    for (char& letter : lower) {
      if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
    }
    if (lower.starts_with("<!doctype html") || lower.find("<html") != std::string::npos)
      return "a web page (HTML), as a download that needs a login or a confirmation leaves; download it again";
    if (lower.find("<svg") != std::string::npos) return "an SVG; convert it to JPEG or PNG";
    return "text (XML)";
  }
  if (bytes.size() >= 16 && std::all_of(bytes.begin(), bytes.end(), [](char byte) { return byte == 0; }))
    return "nothing but zeros, as a copy that broke off leaves; copy it again";
  return "";
}

}  // namespace ferrun
