// CLI11 with this program's manners: the help's layout, values that are checked as they are read, and errors in words
// for a person. Free of LibTorch; used by command_line.cc alone.
#pragma once

#include <CLI/CLI.hpp>
#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <string>

namespace ferrun::train {

class CliApp : public CLI::App {
 public:
  // `name` is the command as the user types it, "worker predict".
  CliApp(const std::string& description, const std::string& name);

  std::string help_text() const;
  // What is wrong with the command line, in one line.
  std::string explain(const CLI::ParseError& error) const;
};

// The text as a number within the bounds; nothing else may stand in it. Otherwise a CLI::ValidationError.
int64_t whole_number(const std::string& option, const std::string& text, int64_t lowest, int64_t highest);
uint64_t seed_number(const std::string& option, const std::string& text);
double real_number(const std::string& option, const std::string& text, double lowest);

inline constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

// An option whose value is a whole number; `take` is called with it.
template <std::invocable<int64_t> Take>
CLI::Option* add_whole(CLI::App& app, const std::string& name, int64_t lowest, int64_t highest, Take take,
                       const std::string& help) {
  return app
      .add_option_function<std::string>(
          name, [=](const std::string& text) { take(whole_number(name, text, lowest, highest)); }, help)
      ->type_name("N");
}

// The same for a variable of the caller's, whose value is the default that the help shows.
template <std::integral Number>
CLI::Option* add_whole(CLI::App& app, const std::string& name, Number& value, int64_t lowest, int64_t highest,
                       const std::string& help) {
  return add_whole(
             app, name, lowest, highest, [&value](int64_t number) { value = static_cast<Number>(number); }, help)
      ->default_str(std::to_string(value));
}

// Likewise for a real number; without a limit above.
CLI::Option* add_real(CLI::App& app, const std::string& name, double& value, double lowest, const std::string& help);

CLI::Option* add_seed(CLI::App& app, uint64_t& seed, const std::string& help);

// One word of a few.
template <typename Choice>
CLI::Option* add_choice(CLI::App& app, const std::string& name, Choice& choice,
                        const std::map<std::string, Choice>& words, const std::string& help) {
  std::string list;
  for (const auto& [word, value] : words) {
    list += (list.empty() ? "" : "|") + word;
  }
  const auto take = [&choice, words, name, list](const std::string& word) {
    const auto found = words.find(word);
    if (found == words.end()) {
      throw CLI::ValidationError(name, "'" + word + "' is not one of " + list);
    }
    choice = found->second;
  };
  return app.add_option_function<std::string>(name, take, help)->type_name(list);
}

}  // namespace ferrun::train
