// Keeps the files that belong to the table of the differential suite.
//
//   differential_tool record FILE [NAME...]   play the rows through the peer's torchrun and write its answers
//   differential_tool page FILE               write docs/differences-from-torchrun.md
//   differential_tool compare [FILE [NAME...]]  play rows through ferrun, and print what no difference covers; FILE
//                                             holds torchrun's answers where they are not the recorded ones
//   differential_tool show NAME               play one row through both, and print what each says
//
// torchrun takes port 29500 unless it is told otherwise: `unshare -n sh -c 'ip link set lo up; ...'` gives it one.
#include <algorithm>
#include <exception>
#include <fstream>
#include <iostream>
#include <span>

#include "tests/differential/compare.h"
#include "tests/differential/suite.h"
#include "tests/peer_path.h"

namespace ferrun::differential {
namespace {

using nlohmann::json;

int record(const std::string& file, const std::vector<std::string>& names) {
  const Table table = read_table(kRows);
  json answers = {{"torch", kTorch}, {"rows", json::object()}};
  if (!names.empty()) answers = read_json(file);
  const std::unique_ptr<Launcher> torchrun = make_torchrun(peer_python());
  bool complete = true;
  for (const Row& row : table.rows) {
    if (!names.empty() && std::ranges::find(names, row.name) == names.end()) continue;
    std::cerr << row.name << "\n";
    try {
      const Played played = play(row, *torchrun, kProbe, peer_python());
      answers["rows"][row.name] = {{"row", row.as_data}, {"seen", played.seen}};
    } catch (const std::exception& error) {
      std::cerr << row.name << " has no answer: " << error.what() << "\n";
      complete = false;
    }
  }
  // One row a line, so that a change of an answer is seen as one.
  std::ofstream out(file);
  out << "{\"torch\": " << answers["torch"] << ", \"rows\": {\n";
  std::string separator;
  for (const auto& [name, answer] : answers["rows"].items()) {
    out << separator << json(name) << ": " << answer;
    separator = ",\n";
  }
  out << "\n}}\n";
  return out.good() && complete ? 0 : 1;
}

int compare_all(const std::string& file, const std::vector<std::string>& names) {
  const Table table = read_table(kRows);
  const json answers = read_json(file);
  const std::unique_ptr<Launcher> ferrun = make_ferrun(kFerrun);
  int uncovered = 0;
  for (const Row& row : table.rows) {
    if (!names.empty() && std::ranges::find(names, row.name) == names.end()) continue;
    if (row.python && peer_python().empty()) continue;
    std::cout << std::flush;
    const json& answer = answers.at("rows").at(row.name);
    const Seen theirs = answer.at("seen").get<Seen>();
    const std::vector<Divergence> found =
        compare(row, table.differences, theirs, play(row, *ferrun, kProbe, peer_python()).seen);
    for (const Divergence& at : found) {
      if (!at.difference.empty()) continue;
      ++uncovered;
      std::cout << row.name << "  " << at.aspect << "\n    torchrun " << at.theirs << "\n    ferrun   " << at.ours
                << "\n";
    }
    for (const std::string& aspect : idle_pins(row, found)) {
      ++uncovered;
      std::cout << row.name << "  " << aspect << "\n    is declared to differ, and does not\n";
    }
  }
  std::cout << table.rows.size() << " rows, " << uncovered << " differences that are not intended\n";
  return uncovered == 0 ? 0 : 1;
}

int page(const std::string& file) {
  std::ofstream(file) << differences_page(read_table(kRows), read_json(kAnswers));
  return 0;
}

int show(const std::string& name) {
  for (const Row& row : read_table(kRows).rows) {
    if (row.name != name) continue;
    const Played theirs = play(row, *make_torchrun(peer_python()), kProbe, peer_python());
    const Played ours = play(row, *make_ferrun(kFerrun), kProbe, peer_python());
    std::cout << "torchrun\n"
              << theirs.out << theirs.err << json(theirs.seen).dump(1) << "\nferrun\n"
              << ours.out << ours.err << json(ours.seen).dump(1) << "\n";
    return 0;
  }
  std::cerr << "no row is called " << name << "\n";
  return 2;
}

int run(const std::vector<std::string>& words) {
  if (words.size() >= 2 && words[0] == "record") return record(words[1], {words.begin() + 2, words.end()});
  if (words.size() == 2 && words[0] == "page") return page(words[1]);
  if (words.size() == 1 && words[0] == "compare") return compare_all(kAnswers, {});
  if (words.size() >= 2 && words[0] == "compare") return compare_all(words[1], {words.begin() + 2, words.end()});
  if (words.size() == 2 && words[0] == "show") return show(words[1]);
  std::cerr << "usage: differential_tool record FILE [NAME...] | page FILE | compare [FILE [NAME...]] | show NAME\n";
  return 2;
}

}  // namespace
}  // namespace ferrun::differential

int main(int argc, char** argv) {
  try {
    return ferrun::differential::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "differential_tool: " << error.what() << "\n";
    return 1;
  }
}
