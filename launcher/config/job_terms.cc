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

constexpr size_t kLongestProgram = 200;

// FNV-1a: tells two command lines apart; nobody's secret depends on it.
uint64_t hash_of(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
  return hash;
}

// As typed: where a program lies may differ between nodes.
std::string program_term(const CommandLine& line) {
  std::string text;
  for (const char* flag : {"module", "no-python", "run-path"}) {
    if (line.options.on(flag)) text += "--" + std::string(flag) + " ";
  }
  for (const std::string& word : line.program) text += shell_word(word) + " ";
  text.pop_back();
  if (text.size() <= kLongestProgram) return printable(text);
  return printable(text.substr(0, kLongestProgram)) + "... (" + hexadecimal(hash_of(text), 16) + ")";
}

}  // namespace

void append_job_terms(const JobConfig& config, const CommandLine& line, std::vector<Term>& terms) {
  terms.push_back({"--shutdown-timeout", seconds_number(config.shutdown_timeout)});
  terms.push_back({"--failure-grace", seconds_number(config.failure_grace)});
  const uint16_t port = config.rendezvous->store_port;
  terms.push_back({"--master-port", port == 0 ? "free" : std::to_string(port)});
  terms.push_back({"the program", program_term(line)});
}

}  // namespace ferrun
