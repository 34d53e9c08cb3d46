#include "tests/sim/script.h"

#include <memory>
#include <optional>
#include <sstream>
#include <vector>

#include "tests/sim/script_job.h"
#include "tests/sim/world.h"

namespace ferrun::sim {
namespace {

using Words = std::vector<std::string>;

Words words_of(const std::string& line) {
  std::istringstream stream(line);
  Words words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

class Story {
 public:
  Story() : trace_(Trace::To::kText) { trace_.show_messages(false); }

  // What the command leads to, or that it cannot be understood.
  Result<std::string> run(const std::string& line) {
    const Words words = words_of(line);
    if (words[0] == "job") return begin(words);
    if (!world_) return Error{ErrorKind::kUser, "the first command is job"};
    if (words[0] == "differ") return differ(words);
    if (words[0] == "messages" && words.size() == 2) {
      trace_.show_messages(words[1] == "on");
      return std::string();
    }
    if (words[0] == "status") return world_->status();
    if (words[0] == "run" && words.size() == 2) {
      const std::optional<Duration> time = parse_duration(words[1]);
      if (!time) return Error{ErrorKind::kUser, words[1] + " is no time"};
      world_->run_for(*time);
      return shown();
    }
    const Result<Fault> fault = parse_fault(words, plan_);
    if (!fault) return fault.error();
    world_->strike(*fault);
    return shown();
  }

 private:
  Result<std::string> begin(const Words& words) {
    Result<JobPlan> plan = parse_job(words);
    if (!plan) return plan.error();
    plan_ = std::move(*plan);
    world_ = std::make_unique<World>(plan_, std::nullopt, trace_, nullptr, nullptr);
    return std::string();
  }

  // differ node2 --max-restarts 0
  Result<std::string> differ(const Words& words) {
    for (NodePlan& node : plan_.nodes) {
      if (words.size() != 4 || node.name != words[1]) continue;
      for (Term& term : node.terms) {
        if (term.name == words[2]) term.value = words[3];
      }
      return std::string();
    }
    return Error{ErrorKind::kUser, "differ NODE NAME VALUE"};
  }

  std::string shown() {
    std::string text = trace_.take_text();
    if (const auto& violation = world_->violation()) {
      text += "VIOLATED: " + violation->invariant + ": " + violation->what + "\n";
    }
    return text;
  }

  Trace trace_;
  JobPlan plan_;
  std::unique_ptr<World> world_;
};

struct Block {
  std::string expected;
  std::string real;
};

}  // namespace

Result<ScriptResult> run_script(const std::string& text) {
  Story story;
  ScriptResult result;
  std::istringstream lines(text);
  std::string line;
  Block block;
  bool expects = false;
  int number = 0;
  const auto end_block = [&] {
    if (expects) result.text += block.real;
    if (expects && block.real != block.expected && result.difference.empty()) {
      result.difference =
          "before line " + std::to_string(number) + ", expected:\n" + block.expected + "and got:\n" + block.real;
    }
    block = {};
    expects = false;
  };
  while (std::getline(lines, line)) {
    ++number;
    if (expects && !line.empty()) {
      block.expected += line + "\n";
      continue;
    }
    if (line.empty() || line[0] == '#') {
      end_block();
    } else if (line == "----") {
      expects = true;
    } else {
      const Result<std::string> shown = story.run(line);
      if (!shown) return Error{ErrorKind::kUser, "line " + std::to_string(number) + ": " + shown.error().message};
      block.real += *shown;
    }
    result.text += line + "\n";
  }
  end_block();
  return result;
}

}  // namespace ferrun::sim
