// What CLI11 leaves to the worker: help that fits a terminal, errors in words for a person, and checks of values. CLI11
// reads numbers by strtoll with base 0: it would take 010 for 8, -1 for a large unsigned number, and a number beyond
// all bounds for the largest. Free of LibTorch; used by command_line.cc alone.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>
#include <map>
#include <string>

namespace ferrun::train {

class CliApp : public CLI::App {
 public:
  // `name` is the command as the user types it, "worker predict". Of an option given twice the last counts, as in
  // Python's argparse. The help shows the defaults that variables have when their options are added.
  CliApp(const std::string& description, const std::string& name);

  std::string help_text() const;
  // What is wrong with the command line, in one line.
  std::string explain(const CLI::ParseError& error) const;
};

// For Option::transform, ahead of CLI11's own conversion: decimal digits alone, from `lowest` to `highest`. The
// variable must be able to hold the bounds.
class WholeNumber : public CLI::Validator {
 public:
  explicit WholeNumber(int64_t lowest, int64_t highest = std::numeric_limits<int64_t>::max());
};

// Likewise any that 64 bits hold.
class SeedNumber : public CLI::Validator {
 public:
  SeedNumber();
};

// Likewise a finite decimal number from `lowest` to `highest`.
class RealNumber : public CLI::Validator {
 public:
  explicit RealNumber(double lowest, double highest = std::numeric_limits<double>::infinity());
};

// A path that is not empty: what an unset variable of a shell gives would be taken for "not given".
class GivenPath : public CLI::Validator {
 public:
  GivenPath();
};

// An option whose value is one of a few words. Its help names the default in its own words, if at all.
// `Target` is a Choice or an optional one.
template <typename Choice, typename Target = Choice>
CLI::Option* add_choice(CLI::App& app, const std::string& name, Target& choice,
                        const std::map<std::string, Choice>& words, const std::string& help) {
  std::string list;
  for (const auto& [word, value] : words) list += (list.empty() ? "" : "|") + word;
  const auto check = [words, list](std::string& word) {
    const auto found = words.find(word);
    if (found == words.end()) return "'" + word + "' is not one of " + list;
    word = std::to_string(static_cast<int>(found->second));  // as CLI11 reads an enumeration
    return std::string();
  };
  return app.add_option(name, choice, help)->transform(CLI::Validator(check, ""))->type_name(list)->default_str("");
}

}  // namespace ferrun::train
