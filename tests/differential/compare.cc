#include "tests/differential/compare.h"

#include <fnmatch.h>

#include <algorithm>
#include <set>

namespace ferrun::differential {
namespace {

using nlohmann::json;

constexpr size_t kMostExamples = 8;

json value_of(const Seen& seen, const std::string& aspect) {
  const auto found = seen.find(aspect);
  return found == seen.end() ? json() : found->second;
}

bool fits(const json& pattern, const json& value) {
  if (pattern.is_string() && value.is_string()) {
    const std::string text = pattern;
    if (text.find('*') != std::string::npos) return fnmatch(text.c_str(), value.get<std::string>().c_str(), 0) == 0;
  }
  return pattern == value;
}

std::string covering(const Row& row, const std::vector<Difference>& differences, const Divergence& divergence) {
  if (const auto pin = row.pins.find(divergence.aspect); pin != row.pins.end()) {
    return pin->second.ours == divergence.ours ? pin->second.difference : "";
  }
  for (const Difference& difference : differences) {
    for (const Rule& rule : difference.rules) {
      if (rule.aspect == divergence.aspect && fits(rule.theirs, divergence.theirs) &&
          fits(rule.ours, divergence.ours)) {
        return difference.id;
      }
    }
  }
  return "";
}

std::string shown(const json& value) {
  if (value.is_null()) return "nothing";
  std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  for (size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2)) text.insert(at, "\\");
  return "`" + (text.size() > 100 ? text.substr(0, 97) + "..." : text) + "`";
}

std::string shown_command(const Row& row) {
  std::string text = "`";
  for (const auto& [name, value] : row.environment) {
    text += value.is_null() ? "-u " + name + " " : name + "=" + value.get<std::string>() + " ";
  }
  std::string line = row.line;
  const std::string port = "--master-port={port} ";  // nearly every row has it
  if (const size_t at = line.find(port); at != std::string::npos) line.erase(at, port.size());
  text += line + "`";
  if (!row.acts.empty()) text += " where `" + row.acts + "`";
  if (!row.send.empty()) text += ", stopped by SIG" + row.send.substr(row.send.find(':') + 1);
  for (size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2)) text.insert(at, "\\");
  return text;
}

std::string examples(const Table& table, const Difference& difference, const json& recorded) {
  std::string text;
  size_t shown_rows = 0;
  size_t all_rows = 0;
  for (const Rule& rule : difference.rules) {
    text += "| *any* | " + rule.aspect + " | " + shown(rule.theirs) + " | " + shown(rule.ours) + " |\n";
  }
  for (const Row& row : table.rows) {
    for (const auto& [aspect, pin] : row.pins) {
      if (pin.difference != difference.id) continue;
      ++all_rows;
      if (shown_rows == kMostExamples) continue;
      ++shown_rows;
      const json& seen = recorded.at("rows").at(row.name).at("seen");
      const json theirs = seen.contains(aspect) ? seen[aspect] : json();
      text += "| " + shown_command(row) + " | " + aspect + " | " + shown(theirs) + " | " + shown(pin.ours) + " |\n";
    }
  }
  if (text.empty()) return text;
  if (all_rows > shown_rows) text += "\nAnd " + std::to_string(all_rows - shown_rows) + " more rows.\n";
  return "\n| options and program | what | torchrun | ferrun |\n| --- | --- | --- | --- |\n" + text;
}

}  // namespace

std::vector<Divergence> compare(const Row& row, const std::vector<Difference>& differences, const Seen& theirs,
                                const Seen& ours) {
  std::set<std::string> aspects;
  for (const auto& [aspect, value] : theirs) aspects.insert(aspect);
  for (const auto& [aspect, value] : ours) aspects.insert(aspect);
  if (value_of(theirs, "outcome") != value_of(ours, "outcome")) aspects = {"outcome"};
  std::vector<Divergence> found;
  for (const std::string& aspect : aspects) {
    Divergence divergence{aspect, value_of(theirs, aspect), value_of(ours, aspect), ""};
    if (divergence.theirs == divergence.ours) continue;
    divergence.difference = covering(row, differences, divergence);
    found.push_back(divergence);
  }
  return found;
}

std::vector<std::string> idle_pins(const Row& row, const std::vector<Divergence>& found) {
  std::vector<std::string> idle;
  for (const auto& [aspect, pin] : row.pins) {
    const bool used = std::ranges::any_of(found, [&](const Divergence& at) { return at.aspect == aspect; });
    if (!used) idle.push_back(aspect);
  }
  return idle;
}

std::string differences_page(const Table& table, const json& recorded) {
  std::string page =
      "# Where ferrun differs from torchrun\n\n"
      "Generated from `tests/differential/rows.json`; `differential_tool page` writes it anew. " +
      std::to_string(table.rows.size()) +
      " command lines,\nenvironments and behaviours of workers were played through torchrun " +
      recorded.at("torch").get<std::string>() +
      ", and every run of the tests plays them\nthrough ferrun: what was accepted, exit status, arguments and every variable "
      "of every worker, output, log files, the\nreport's root cause, and what is left behind. Where the two are not alike, it "
      "is one of the following.\n\n"
      "`DIR`, `UUID`, `FREE_PORT` and `*` stand for what is another one in every run. In the columns of the tables, *any*\n"
      "is every row in which the two values meet; what workers do is written as in `tests/differential/probe.cc`.\n";
  for (const Difference& difference : table.differences) {
    page += "\n## " + difference.title + "\n\n- torchrun: " + difference.torchrun + "\n- ferrun: " + difference.ferrun +
            "\n- Why: " + difference.why + "\n";
    if (!difference.instead.empty()) page += "- As torchrun does it: " + difference.instead + "\n";
    page += examples(table, difference, recorded);
  }
  return page;
}

}  // namespace ferrun::differential
