#include "worker/train/cli_app.h"

#include <charconv>
#include <cmath>
#include <memory>
#include <sstream>
#include <system_error>
#include <vector>

namespace ferrun::train {
namespace {

// Long descriptions broken into lines, values that may be left out in brackets.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() {
    column_width(kColumn);
    label("OPTIONS", "options");
    label("REQUIRED", "(required)");
    label("Positionals", "Arguments");
  }

  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    std::string head = "  " + make_option_name(option, is_positional) + make_option_opts(option);
    std::string text = head;
    size_t room = head.size() + 2 > kColumn ? 0 : kWidth - kColumn;
    text.resize(std::max(text.size(), size_t{kColumn}), ' ');
    std::istringstream words(make_option_desc(option));
    for (std::string word; words >> word;) {
      if (word.size() + 1 > room) {
        text = text.substr(0, text.find_last_not_of(' ') + 1) + "\n" + std::string(kColumn, ' ');
        room = kWidth - kColumn;
      }
      text += word + " ";
      room -= word.size() + 1;
    }
    return text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
  }

  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_items_expected_max() == 0) return "";  // a switch
    std::string text = option->get_type_name();
    if (text.empty()) return option->get_expected_max() > 1 ? " ..." : "";
    if (option->get_expected_min() == 0) text = "[" + text + "]";
    if (!option->get_default_str().empty()) text += "=" + option->get_default_str();
    if (option->get_required()) text += " " + get_label("REQUIRED");
    return " " + text;
  }

 private:
  static constexpr size_t kColumn = 32;
  static constexpr size_t kWidth = 104;
};

// "--epochs: 1 required N missing" → "--epochs".
std::string option_of(const CLI::ParseError& error) {
  const std::string text = error.what();
  return text.substr(0, text.find_first_of(": "));
}

template <typename Number>
bool reads(const std::string& text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

[[noreturn]] void refuse(const std::string& option, const std::string& text, const std::string& wanted) {
  throw CLI::ValidationError(option, "'" + text + "' is not " + wanted);
}

}  // namespace

CliApp::CliApp(const std::string& description, const std::string& name) : CLI::App(description, name) {
  // Of an option given twice the last counts, as in Python's argparse.
  option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)->disable_flag_override();
  formatter(std::make_shared<HelpFormatter>());
  set_help_flag("-h,--help", "Show this help");
}

std::string CliApp::help_text() const {
  std::string text = help();
  for (size_t at = 0; (at = text.find("\n\n\n", at)) != std::string::npos;) text.erase(at, 1);
  while (text.ends_with("\n\n")) text.pop_back();
  return text;
}

std::string CliApp::explain(const CLI::ParseError& error) const {
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr && !remaining().empty()) {
    const std::string first = remaining().front();
    return first.starts_with('-') ? "there is no option " + first : "'" + first + "' is one argument too many";
  }
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && error.what()[0] != '-') {
    return "the argument '" + option_of(error) + "' is missing";
  }
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    const bool is_switch = std::string(error.what()).ends_with("flag override");
    if (is_switch) return "--" + option_of(error) + " takes no value";
    return option_of(error) + " needs a value";
  }
  return error.what();
}

int64_t whole_number(const std::string& option, const std::string& text, int64_t lowest, int64_t highest) {
  int64_t number = 0;
  if (!reads(text, number) || number < lowest || number > highest) {
    refuse(option, text,
           "a whole number " + (highest == kNoLimit
                                    ? "of at least " + std::to_string(lowest)
                                    : "from " + std::to_string(lowest) + " to " + std::to_string(highest)));
  }
  return number;
}

uint64_t seed_number(const std::string& option, const std::string& text) {
  uint64_t number = 0;
  if (!reads(text, number)) refuse(option, text, "a whole number from 0 to 18446744073709551615");
  return number;
}

double real_number(const std::string& option, const std::string& text, double lowest) {
  double number = 0;
  if (!reads(text, number) || !std::isfinite(number) || number < lowest) {
    std::ostringstream wanted;
    wanted << "a number of at least " << lowest;
    refuse(option, text, wanted.str());
  }
  return number;
}

CLI::Option* add_real(CLI::App& app, const std::string& name, double& value, double lowest, const std::string& help) {
  std::ostringstream now;
  now << value;
  const auto take = [&value, name, lowest](const std::string& text) { value = real_number(name, text, lowest); };
  return app.add_option_function<std::string>(name, take, help)->type_name("X")->default_str(now.str());
}

CLI::Option* add_seed(CLI::App& app, uint64_t& seed, const std::string& help) {
  const auto take = [&seed](const std::string& text) { seed = seed_number("--seed", text); };
  return app.add_option_function<std::string>("--seed", take, help)->type_name("N")->default_str(std::to_string(seed));
}

}  // namespace ferrun::train
