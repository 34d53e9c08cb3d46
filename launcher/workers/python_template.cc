#include "launcher/workers/python_template.h"

#include <array>
#include <cstdint>
#include <string_view>

namespace ferrun {
namespace {

constexpr std::string_view kTemplateSource =
#include "python_template_source.inc"
    ;

constexpr std::string_view kHugePagesOfHeap = "glibc.malloc.hugetlb";
constexpr std::string_view kModule = "sitecustomize.py";

// Bytes as Python writes them, whatever they are.
std::string bytes_literal(std::string_view bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text = "bytes.fromhex('";
  for (const char byte : bytes) {
    text += kDigits[static_cast<unsigned char>(byte) >> 4];
    text += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  return text + "')";
}

std::string source(const std::vector<std::string>& argv, const PythonPlan& plan) {
  std::string arguments;
  for (size_t at = plan.behind_python; at < argv.size(); ++at) arguments.append(argv[at]).push_back('\0');
  std::string text = "ARGUMENTS = " + bytes_literal(arguments) + "\nPRELOAD = ";
  if (plan.preload) {
    text += "[";
    for (const std::string& name : *plan.preload) text += bytes_literal(name) + ".decode(),";
    text += "]\n";
  } else {
    text += "None\n";
  }
  return text.append(kTemplateSource);
}

uint32_t crc32(std::string_view bytes) {
  uint32_t remainder = ~uint32_t{0};
  for (const char byte : bytes) {
    remainder ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) remainder = remainder >> 1 ^ ((remainder & 1) != 0 ? 0xEDB88320U : 0U);
  }
  return ~remainder;
}

void put(std::string& to, uint32_t value, int bytes) {
  for (int at = 0; at < bytes; ++at) to += static_cast<char>(value >> 8 * at & 0xFF);
}

// What a local and a central header have in common.
void put_description(std::string& to, std::string_view content) {
  constexpr uint32_t kFirstOfJanuary1980 = 0x21;
  put(to, 20, 2);  // the version that is needed to read it
  put(to, 0, 2);   // flags
  put(to, 0, 2);   // stored, not compressed
  put(to, 0, 2);
  put(to, kFirstOfJanuary1980, 2);
  put(to, crc32(content), 4);
  put(to, static_cast<uint32_t>(content.size()), 4);
  put(to, static_cast<uint32_t>(content.size()), 4);
  put(to, kModule.size(), 2);
  put(to, 0, 2);  // no extra field
}

// A zip file with one stored member: PKWARE's APPNOTE.TXT, 4.3.
std::string zip(std::string_view content) {
  std::string file = "PK\x03\x04";
  put_description(file, content);
  file.append(kModule).append(content);
  const auto directory_at = static_cast<uint32_t>(file.size());
  file += "PK\x01\x02";
  put(file, 20, 2);  // made by
  put_description(file, content);
  put(file, 0, 2);  // no comment
  put(file, 0, 2);  // the first disk
  put(file, 0, 2);  // attributes
  put(file, 0, 4);  // likewise
  put(file, 0, 4);  // the local header stands at the beginning
  const auto directory_bytes = static_cast<uint32_t>(file.append(kModule).size()) - directory_at;
  file += "PK\x05\x06";
  put(file, 0, 4);  // disks
  put(file, 1, 2);  // members here, and in all
  put(file, 1, 2);
  put(file, directory_bytes, 4);
  put(file, directory_at, 4);
  put(file, 0, 2);  // no comment
  return file;
}

}  // namespace

std::string python_template_archive(const std::vector<std::string>& argv, const PythonPlan& plan) {
  return zip(source(argv, plan));
}

void let_python_find(const std::string& path, Environment& environment) {
  const std::string given = environment.get_or("PYTHONPATH", "");
  environment.set("PYTHONPATH", given.empty() ? path : path + ":" + given);
  const std::string tunables = environment.get_or("GLIBC_TUNABLES", "");
  if (tunables.find(kHugePagesOfHeap) != std::string::npos) return;
  environment.set("GLIBC_TUNABLES", (tunables.empty() ? "" : tunables + ":") + std::string(kHugePagesOfHeap) + "=1");
}

}  // namespace ferrun
