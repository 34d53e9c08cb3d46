// Every option of ferrun, once: the parser, `ferrun --help`, the manual page's check and the PET_ variables all read
// this table. Pure data.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ferrun {

enum class FlagKind {
  kSwitch,  // present or not
  kValue,   // takes one value; the last one given counts
  kList,    // the same, but those given on one command line count together, as if commas stood between them
};

// By what the user wants to do; the order is that of --help.
enum class FlagGroup { kSize, kProgram, kRestarts, kOutput, kRendezvous, kNodes, kProcess, kInformation };

struct Flag {
  std::string_view name;  // with dashes; the same name with underscores is accepted everywhere
  char short_name = 0;    // 'r' for -r; 0 when there is none
  FlagKind kind = FlagKind::kValue;
  FlagGroup group = FlagGroup::kSize;
  std::string_view value_name;  // "N" in --help; empty for a switch
  std::string_view fallback;    // the built-in default as the user would write it; empty when there is none
  bool reads_pet = true;        // PET_<NAME> gives a default below the command line
  std::string_view help;
  // Non-empty for an option of torchrun that ferrun knows but does not offer: why, and what to do instead.
  std::string_view refusal = {};
  // The words that are values, or the usual ones of them, with blanks between; for completion.
  std::string_view choices = {};
};

std::span<const Flag> flag_table();

// The flag with this exact long name, dashed or underscored, without the leading "--"; nullptr when there is none.
const Flag* find_flag(std::string_view name);

// "PET_MAX_RESTARTS" for max-restarts.
std::string pet_variable(const Flag& flag);
// "max_restarts" for max-restarts.
std::string underscored(std::string_view name);
// The heading of a group in --help and in the manual page.
std::string_view group_title(FlagGroup group);

}  // namespace ferrun
