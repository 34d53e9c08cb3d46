#include "launcher/config/job_terms.h"

#include <cstdint>
#include <string>
#include <string_view>

#include "common/duration_text.h"
#include "common/printable_text.h"
#include "launcher/config/names.h"
#include "launcher/config/values.h"

namespace ferrun {
namespace {

constexpr size_t kLongestValue = 200;

// FNV-1a: tells two command lines apart; nobody's secret depends on it.
uint64_t hash_of(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
  return hash;
}

std::string shortened(const std::string& text) {
  if (text.size() <= kLongestValue) return printable(text);
  return printable(text.substr(0, kLongestValue)) + "... (" + hexadecimal(hash_of(text), 16) + ")";
}

// Its name: where a program lies may differ between nodes.
std::string program_term(const CommandLine& line) {
  std::string text;
  for (const char* flag : {"module", "no-python", "run-path"}) {
    if (line.options.on(flag)) text += "--" + std::string(flag) + " ";
  }
  const std::string& program = line.program.front();
  const size_t folder_end = program.find_last_of('/');
  return shortened(text + shell_word(folder_end == std::string::npos ? program : program.substr(folder_end + 1)));
}

std::string arguments_term(const CommandLine& line) {
  std::string text;
  for (size_t at = 1; at < line.program.size(); ++at) text += (at > 1 ? " " : "") + shell_word(line.program[at]);
  return text.empty() ? "none" : shortened(text);
}

}  // namespace

void append_job_terms(const JobConfig& config, const CommandLine& line, std::vector<Term>& terms) {
  terms.push_back({"--shutdown-timeout", seconds_number(config.stop.shutdown_timeout)});
  terms.push_back({"--failure-grace", seconds_number(config.stop.failure_grace)});
  const uint16_t port = config.rendezvous->store_port;
  terms.push_back({"--master-port", port == 0 ? "free" : std::to_string(port)});
  terms.push_back({"the program", program_term(line)});
  terms.push_back({"the rest of its command line", arguments_term(line)});
}

}  // namespace ferrun
