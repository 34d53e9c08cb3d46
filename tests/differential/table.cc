#include "tests/differential/table.h"

#include <fstream>
#include <set>
#include <stdexcept>

namespace ferrun::differential {
namespace {

using nlohmann::json;

std::vector<std::string> split_words(const std::string& line) {
  std::vector<std::string> words;
  std::string word;
  bool quoted = false;
  bool begun = false;
  for (const char letter : line) {
    if (letter == '\'') {
      quoted = !quoted;
      begun = true;
    } else if (letter == ' ' && !quoted) {
      if (begun) words.push_back(word);
      word.clear();
      begun = false;
    } else {
      word += letter;
      begun = true;
    }
  }
  if (begun) words.push_back(word);
  return words;
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
  return text;
}

Row read_row(const std::string& section, const json& data) {
  static const std::set<std::string> kKnown = {"name",  "line", "nodes", "acts",   "env",
                                               "files", "send", "waits", "python", "differs"};
  for (const auto& [key, value] : data.items()) {
    if (!kKnown.contains(key)) throw std::runtime_error("rows.json: " + data.dump() + ": unknown member " + key);
  }
  Row row;
  row.section = section;
  row.name = data.at("name");
  row.line = data.at("line");
  row.nodes = data.value("nodes", std::vector<std::string>{""});
  row.acts = data.value("acts", "");
  row.environment = data.value("env", row.environment);
  row.files = data.value("files", row.files);
  row.send = data.value("send", "");
  row.waits = data.value("waits", false);
  row.python = data.value("python", false);
  const json pins = data.value("differs", json::object());
  for (const auto& [aspect, pin] : pins.items()) row.pins[aspect] = {pin.at(0), pin.at(1)};
  row.as_data = data;
  row.as_data.erase("differs");
  return row;
}

Difference read_difference(const json& data) {
  Difference found;
  found.id = data.at("id");
  found.title = data.at("title");
  found.torchrun = data.at("torchrun");
  found.ferrun = data.at("ferrun");
  found.why = data.at("why");
  found.instead = data.value("instead", "");
  for (const json& rule : data.value("rules", json::array())) {
    found.rules.push_back({rule.at("aspect"), rule.at("torchrun"), rule.at("ferrun")});
  }
  return found;
}

}  // namespace

std::vector<std::string> Row::words(size_t node, const std::string& port) const {
  std::string whole = nodes[node] + " " + line;
  return split_words(replaced(std::move(whole), "{port}", port));
}

json read_json(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in) throw std::runtime_error("cannot read " + file.string());
  return json::parse(in);
}

Table read_table(const std::filesystem::path& file) {
  const json data = read_json(file);
  Table table;
  for (const json& difference : data.at("differences")) table.differences.push_back(read_difference(difference));
  std::set<std::string> names;
  for (const json& section : data.at("sections")) {
    for (const json& row : section.at("rows")) {
      table.rows.push_back(read_row(section.at("title"), row));
      if (!names.insert(table.rows.back().name).second) {
        throw std::runtime_error("rows.json: two rows are called " + table.rows.back().name);
      }
    }
  }
  return table;
}

}  // namespace ferrun::differential
