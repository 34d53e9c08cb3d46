// ferrun_sim: replays the job of one seed, or of many, or a script.
//
//   ferrun_sim --seed N [--nodes K] [--etcd] [--trace] [--mutant NAME]
//   ferrun_sim --seeds FIRST:LAST [--etcd] [--mutant NAME]
//   ferrun_sim --script FILE [--rewrite]
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/sim/mutant.h"
#include "tests/sim/random_job.h"
#include "tests/sim/run.h"
#include "tests/sim/script.h"

namespace ferrun::sim {
namespace {

struct Arguments {
  uint64_t first = 1;
  uint64_t last = 0;
  std::optional<int> nodes;
  bool trace = false;
  std::string mutant;  // empty: none
  std::string script;  // empty: seeds
  bool rewrite = false;
  bool with_etcd = false;
};

int usage() {
  std::fprintf(stderr,
               "usage: ferrun_sim --seed N [--nodes K] [--etcd] [--trace] [--mutant NAME]\n"
               "       ferrun_sim --seeds FIRST:LAST [--etcd] [--mutant NAME]\n"
               "       ferrun_sim --script FILE [--rewrite]\n");
  return 2;
}

std::optional<Arguments> parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--trace") {
      arguments.trace = true;
      continue;
    }
    if (option == "--etcd") {
      arguments.with_etcd = true;
      continue;
    }
    if (option == "--rewrite") {
      arguments.rewrite = true;
      continue;
    }
    if (i + 1 == argc) return std::nullopt;
    const char* const value = argv[++i];
    char* end = nullptr;
    if (option == "--seed") {
      arguments.first = arguments.last = std::strtoull(value, nullptr, 10);
    } else if (option == "--seeds") {
      arguments.first = std::strtoull(value, &end, 10);
      if (*end != ':') return std::nullopt;
      arguments.last = std::strtoull(end + 1, nullptr, 10);
    } else if (option == "--nodes") {
      arguments.nodes = std::atoi(value);
    } else if (option == "--mutant") {
      arguments.mutant = value;
      if (make_mutant(value) == nullptr) return std::nullopt;
    } else if (option == "--script") {
      arguments.script = value;
    } else {
      return std::nullopt;
    }
  }
  if (arguments.script.empty() && arguments.last < arguments.first) return std::nullopt;
  return arguments;
}

int run(const Arguments& arguments) {
  Trace trace(arguments.trace ? Trace::To::kStdout : Trace::To::kNobody);
  if (arguments.trace)
    std::printf("%s\n", describe(random_job(arguments.first, arguments.nodes, arguments.with_etcd)).c_str());
  Coverage coverage;
  Totals totals;
  std::map<std::string, int> broken;
  for (uint64_t seed = arguments.first; seed <= arguments.last; ++seed) {
    const std::optional<Violation> violation =
        run_seed(seed, {arguments.nodes, &trace, &coverage, arguments.mutant, arguments.with_etcd}, totals);
    if (!violation) continue;
    std::printf("seed %llu: %s: %s\n", static_cast<unsigned long long>(seed), violation->invariant.c_str(),
                violation->what.c_str());
    ++broken[violation->invariant];
  }
  std::printf("%s%s", totals.report().c_str(), coverage.report().c_str());
  for (const auto& [invariant, times] : broken) std::printf("%s: %d seeds\n", invariant.c_str(), times);
  return broken.empty() ? 0 : 1;
}

int play(const Arguments& arguments) {
  std::ifstream file(arguments.script);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) {
    std::fprintf(stderr, "ferrun_sim: cannot read %s\n", arguments.script.c_str());
    return 2;
  }
  const Result<ScriptResult> result = run_script(text.str());
  if (!result) {
    std::fprintf(stderr, "ferrun_sim: %s: %s\n", arguments.script.c_str(), result.error().message.c_str());
    return 2;
  }
  if (arguments.rewrite) {
    std::ofstream(arguments.script) << result->text;
    return 0;
  }
  std::printf("%s", result->difference.c_str());
  return result->difference.empty() ? 0 : 1;
}

}  // namespace
}  // namespace ferrun::sim

int main(int argc, char** argv) {
  const auto arguments = ferrun::sim::parse(argc, argv);
  if (!arguments) return ferrun::sim::usage();
  return arguments->script.empty() ? ferrun::sim::run(*arguments) : ferrun::sim::play(*arguments);
}
