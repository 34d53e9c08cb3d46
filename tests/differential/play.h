// Plays one row through one launcher, and says what was seen.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/differential/launchers.h"
#include "tests/differential/table.h"

namespace ferrun::differential {

// What was seen, by aspect: outcome (ran, failed, refused, waits), exit, workers, argv, env.NAME, cwd, process, stdout,
// stderr (what workers wrote), files, left, signals, report.rank, report.exitcode, report.message. What changes from
// run to run has a name in its place: DIR, HOST, UUID, FREE_PORT, `*`.
using Seen = std::map<std::string, nlohmann::json>;

struct Played {
  Seen seen;
  std::string out;  // as they were, for whoever looks into a failure
  std::string err;
};

// `python` is the interpreter of rows that need one; `probe` the program of tests/differential/probe.cc. Throws
// std::runtime_error where the row cannot be played at all.
Played play(const Row& row, Launcher& launcher, const std::string& probe, const std::string& python);

}  // namespace ferrun::differential
