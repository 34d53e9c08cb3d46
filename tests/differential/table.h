// The table of the differential suite, tests/differential/rows.json: what is played through torchrun and ferrun, and
// where they are meant to differ.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

namespace ferrun::differential {

// What ferrun says instead of torchrun in one aspect of one row, and which difference that is.
struct Pin {
  std::string difference;
  nlohmann::json ours;
};

struct Row {
  std::string section;
  std::string name;
  std::string line;                // as it is typed, behind the launcher's name; single quotes keep words together
  std::vector<std::string> nodes;  // for each launcher of a job of several, the options before `line`; one "" else
  std::string acts;                // what the workers do, see probe.cc
  std::map<std::string, nlohmann::json> environment;  // values that the launcher has beside the usual; null takes away
  std::map<std::string, std::string> files;           // beside those of every row
  std::string send;     // "2:TERM": SIGTERM to every launcher when 2 workers are waiting for it
  bool waits = false;   // the launcher is expected to wait for others, and is killed
  bool python = false;  // ferrun needs torch for it
  std::map<std::string, Pin> pins;
  nlohmann::json as_data;  // the row without its pins: what a recorded answer is an answer to

  std::vector<std::string> words(size_t node, const std::string& port) const;

  // What GoogleTest calls it.
  friend void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }
};

// Both values of an aspect, wherever they occur. Values may hold `*`.
struct Rule {
  std::string aspect;
  nlohmann::json theirs;
  nlohmann::json ours;
};

// An intended difference, as docs/differences-from-torchrun.md tells it.
struct Difference {
  std::string id;
  std::string title;
  std::string torchrun;
  std::string ferrun;
  std::string why;
  std::string instead;  // how ferrun is made to do as torchrun does; may be empty
  std::vector<Rule> rules;
};

struct Table {
  std::vector<Difference> differences;
  std::vector<Row> rows;
};

// Throws std::runtime_error where the file is no such table.
Table read_table(const std::filesystem::path& file);

nlohmann::json read_json(const std::filesystem::path& file);

}  // namespace ferrun::differential
