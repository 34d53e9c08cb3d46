// Command lines, PET_ and other variables, and option files of any bytes: each is either refused with words, or a job
// that can be described, and as JSON for a program.
//
// Input: words that end with a line each. The first character of a line says what the rest is: 'E' a variable
// (NAME=VALUE), 'F' a line of the file that --config names, whatever its name is, anything else an argument with that
// character.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/printable_text.h"
#include "launcher/cli/config_file.h"
#include "launcher/config/describe.h"
#include "launcher/config/job_config.h"
#include "tests/fuzz/require.h"
#include "tests/launcher/config/host_fixture.h"

namespace ferrun {
namespace {

struct Input {
  std::vector<std::string> arguments;
  Environment environment;
  std::vector<std::pair<std::string, std::string>> variables;  // the same, in the order of the input
  std::string file;
};

Input split(std::string_view bytes) {
  Input input;
  input.environment.set("PATH", "/usr/bin");
  while (!bytes.empty()) {
    const size_t end = std::min(bytes.find('\n'), bytes.size());
    const std::string_view line = bytes.substr(0, end);
    bytes.remove_prefix(std::min(bytes.size(), end + 1));
    const size_t equals = line.find('=');
    if (line.starts_with('F')) {
      input.file.append(line.substr(1)).append("\n");
    } else if (line.starts_with('E') && equals != std::string_view::npos && equals > 1) {
      input.variables.emplace_back(line.substr(1, equals - 1), line.substr(equals + 1));
      input.environment.set(input.variables.back().first, input.variables.back().second);
    } else {
      input.arguments.emplace_back(line);
    }
  }
  return input;
}

void require_words(const Error& error) {
  require(!error.message.empty(), "a refusal has words");
  require(one_line(error.message).find('\n') == std::string::npos, "they are one line");
}

void play(std::string_view bytes) {
  Input input = split(bytes);
  const Verb verb = verb_of(input.arguments);
  if (verb != Verb::kRun) input.arguments.erase(input.arguments.begin());
  const auto read = [&input](const std::string&) -> Result<std::string> { return input.file; };
  const Result<CommandLine> line = parse_with_config_file(input.arguments, input.environment, verb, read);
  if (!line) return require_words(line.error());
  if (!takes_program(verb)) return;
  FakeHost host;
  host.program("/usr/bin/worker").file("/home/user/train.py").gpus({"GPU-0", "GPU-1"});
  for (const auto& [name, value] : input.variables) host.variable(name, value);
  const Result<JobConfig> job = make_job_config(*line, host.facts());
  if (!job) return require_words(job.error());
  require(job->workers > 0, "a job has workers");
  require(!describe(*job).empty(), "a job can be described");
  require(nlohmann::json::accept(describe_json(*job)), "its description for programs is JSON");
}

}  // namespace
}  // namespace ferrun

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ferrun::play({reinterpret_cast<const char*>(data), size});
  return 0;
}
