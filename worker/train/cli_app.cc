#include "worker/train/cli_app.h"

#include <charconv>
#include <cmath>
#include <memory>
#include <sstream>
#include <system_error>

namespace ferrun::train {
namespace {

// CLI11's, with descriptions broken into lines.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() {
    label("OPTIONS", "options");
    label("REQUIRED", "(required)");
    label("Positionals", "Arguments");
    label("INT", "N");
    label("UINT", "N");
    label("FLOAT", "X");
  }

  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    std::string text = "  " + make_option_name(option, is_positional) + make_option_opts(option);
    size_t room = text.size() + 2 > kColumn ? 0 : kWidth - kColumn;
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

template <typename Number>
std::string refusal(const std::string& text, const char* kind, Number lowest, Number highest, bool is_bounded) {
  std::ostringstream words;
  words << "'" << text << "' is not a " << kind;
  if (is_bounded) {
    words << " from " << lowest << " to " << highest;
  } else {
    words << " of at least " << lowest;
  }
  return words.str();
}

template <typename Number>
std::string check_whole(std::string& text, Number lowest, Number highest, bool is_bounded) {
  Number number = 0;
  if (!reads(text, number) || number < lowest || number > highest) {
    return refusal(text, "whole number", lowest, highest, is_bounded);
  }
  text = std::to_string(number);  // without zeros in front, which would make it octal
  return "";
}

}  // namespace

CliApp::CliApp(const std::string& description, const std::string& name) : CLI::App(description, name) {
  option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)->disable_flag_override();
  option_defaults()->always_capture_default();
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

WholeNumber::WholeNumber(int64_t lowest, int64_t highest) : CLI::Validator("") {
  func_ = [lowest, highest](std::string& text) {
    const bool is_bounded = highest < std::numeric_limits<int64_t>::max();
    return check_whole(text, lowest, highest, is_bounded);
  };
}

SeedNumber::SeedNumber() : CLI::Validator("") {
  func_ = [](std::string& text) {
    return check_whole<uint64_t>(text, 0, std::numeric_limits<uint64_t>::max(), /*is_bounded=*/true);
  };
}

RealNumber::RealNumber(double lowest, double highest) : CLI::Validator("") {
  func_ = [lowest, highest](std::string& text) {
    double number = 0;
    if (!reads(text, number) || !std::isfinite(number) || number < lowest || number > highest) {
      return refusal(text, "number", lowest, highest, std::isfinite(highest));
    }
    // In hexadecimal: CLI11 reads a long double and narrows it, which rounds a decimal twice.
    char exact[64];
    std::snprintf(exact, sizeof exact, "%a", number);
    text = exact;
    return std::string();
  };
}

GivenPath::GivenPath()
    : CLI::Validator(
          [](std::string& text) { return text.empty() ? "the path is empty; is a variable unset?" : std::string(); },
          "") {}

}  // namespace ferrun::train
