#include "launcher/cli/help.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "launcher/cli/flag_table.h"

namespace ferrun {
namespace {

constexpr size_t kWidth = 100;
constexpr size_t kTextColumn = 31;

std::string left_column(const Flag& flag) {
  std::string text = flag.short_name != 0 ? std::string("  -") + flag.short_name + ", --" : std::string("      --");
  text += flag.name;
  if (flag.kind != FlagKind::kSwitch) text += " " + std::string(flag.value_name);
  return text;
}

std::string description(const Flag& flag) {
  std::string text(flag.help);
  if (!flag.fallback.empty()) text += " [" + std::string(flag.fallback) + "]";
  return text;
}

// Appends `text`, broken at spaces into lines from column `indent` on; the cursor stands there.
void append_wrapped(std::string& out, std::string_view text, size_t indent) {
  size_t column = indent;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    if (column > indent && column + 1 + word.size() > kWidth) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    text.remove_prefix(std::min(word.size() + 1, text.size()));
  }
  out += '\n';
}

void append_flag(std::string& out, const Flag& flag) {
  std::string left = left_column(flag);
  if (left.size() + 2 > kTextColumn) {
    out += left + "\n";
    left.clear();
  }
  out += left + std::string(kTextColumn - left.size(), ' ');
  append_wrapped(out, description(flag), kTextColumn);
}

// Groups without an option leave no heading.
void append_groups(std::string& out, const std::vector<const Flag*>& flags) {
  using enum FlagGroup;
  for (const FlagGroup group :
       std::array{kSize, kProgram, kRestarts, kOutput, kRendezvous, kNodes, kProcess, kInformation}) {
    bool heading = false;
    for (const Flag* flag : flags) {
      if (flag->group != group || !flag->refusal.empty()) continue;
      if (!std::exchange(heading, true)) out += "\n" + std::string(group_title(group)) + "\n";
      append_flag(out, *flag);
    }
  }
}

constexpr std::string_view kRunSynopsis =
    "usage: ferrun [options] program [arguments...]\n"
    "       ferrun launch [options] program [arguments...]\n"
    "       ferrun coordinator|status|doctor [options]   (ferrun status --help and so on say more)\n\n";

constexpr std::string_view kRunText =
    "Starts the workers of a distributed job, supervises them, and starts them again when one fails. A program "
    "that ends in .py, or any with -m, is run by Python; a name with a slash is that file; worker is the "
    "trainer beside ferrun; any other name is looked up in PATH. What follows the program is its own.";

constexpr std::string_view kRunExamples =
    "\n"
    "  ferrun --nproc-per-node=2 --master-port=23450 worker --epochs=100\n"
    "  ferrun --nproc-per-node=gpu --max-restarts=3 train.py --lr 1e-3\n"
    "  ferrun --nnodes=4 --nproc-per-node=8 --rdzv-endpoint=node0:29400 worker   (on every node)\n";

constexpr std::string_view kRunEnd =
    "Underscores may stand for the dashes, unique prefixes for the names. PET_ variables give defaults: "
    "PET_MAX_RESTARTS=3 for --max-restarts=3. Exit status: 0 success; 2 usage; the first failed worker's own "
    "code, 128+n for signal n, also when ferrun itself was told to stop by it; 75 the machine refused (a port, "
    "a limit), or no group of nodes could be formed; 70 internal error. More in ferrun(1).";

std::string_view purpose_of(Verb verb) {
  switch (verb) {
    case Verb::kRun: return kRunText;
    case Verb::kLaunch:
      return "Runs a program as python -m torch.distributed.launch does, with the same options as ferrun and --use-env: "
             "without that its first argument is --local-rank=N.";
    case Verb::kCoordinator:
      return "Coordinates one job with several nodes in a process of its own, on a login node or as a service: the "
             "job's workers run on when it is restarted. Ends with the job and its exit status; SIGTERM ends the job.";
    case Verb::kStatus:
      return "Shows what a job with several nodes does of which an agent runs on this machine: its round, its nodes "
             "and their ranks, restarts, what is waited for and why.";
    case Verb::kDoctor:
      return "Looks whether this machine can run a job, or with --rdzv-endpoint take part in one with several nodes: one line "
             "for each finding, ok, warn or FAIL. Exit status 1 when something fails.";
  }
  return "";
}

}  // namespace

std::string help_text(Verb verb) {
  const bool run = verb == Verb::kRun;
  std::string out = run ? std::string(kRunSynopsis)
                        : "usage: ferrun " + std::string(verb_name(verb)) + " [options]" +
                              (takes_program(verb) ? " program [arguments...]\n\n" : "\n\n");
  append_wrapped(out, purpose_of(verb), 0);
  if (run) out += kRunExamples;
  append_groups(out, flags_of(verb));
  if (!run) return out;
  out += '\n';
  append_wrapped(out, kRunEnd, 0);
  return out;
}

std::string flag_lines() {
  const auto or_dash = [](const std::string& text) { return text.empty() ? std::string("-") : text; };
  std::string out;
  for (const Flag& flag : flag_table()) {
    out += std::string(flag.name) + "\t" + (flag.short_name != 0 ? std::string(1, flag.short_name) : "-");
    out += flag.kind == FlagKind::kSwitch ? "\tswitch" : "\tvalue";
    out += "\t" + (flag.reads_pet ? pet_variable(flag) : std::string("-"));
    out += "\t" + or_dash(std::string(flag.fallback));
    out += flag.refusal.empty() ? "\toffered\n" : "\trefused\n";
  }
  return out;
}

}  // namespace ferrun
