#include "launcher/hosts/named_hosts.h"

#include <algorithm>
#include <set>

#include "common/printable_text.h"
#include "common/text.h"
#include "launcher/config/hostlist.h"
#include "launcher/config/values.h"

namespace ferrun {
namespace {

Error wrong(std::string reason) { return Error{ErrorKind::kUsage, std::move(reason)}; }

Result<int> slots_of(const std::string& host, std::string_view text) {
  const Result<int> slots = parse_whole_number(std::string(text), 1);
  if (!slots) return wrong("the slots of " + host + ", '" + printable(text) + "', are no whole number of at least 1");
  return *slots;
}

// Whether ssh takes it for a host, and not for an option of its own.
Status check_name(const std::string& name) {
  const bool odd = name.empty() || name.front() == '-' || name.front() == '@' || name.back() == '@' ||
                   std::ranges::any_of(name, [](unsigned char c) { return c <= ' ' || c == 127; });
  return odd ? Status(wrong("'" + printable(name) + "' is no name of a host")) : ok_status();
}

// "node0:4" in name and slots. An IPv6 address has more colons, and no slots here.
Result<HostEntry> entry_of(std::string_view word) {
  HostEntry entry{std::string(word), std::nullopt};
  if (std::ranges::count(word, ':') == 1) {
    const size_t colon = word.find(':');
    entry.name = word.substr(0, colon);
    const Result<int> slots = slots_of(entry.name, word.substr(colon + 1));
    if (!slots) return slots.error();
    entry.slots = *slots;
  }
  if (Status checked = check_name(entry.name); !checked) return checked.error();
  return entry;
}

Result<std::vector<HostEntry>> each_once(std::vector<HostEntry> hosts) {
  std::set<std::string> names;
  for (const HostEntry& host : hosts) {
    if (!names.insert(host.name).second) {
      return wrong(host.name + " is named twice; a host has one agent, and its workers are its slots (" + host.name +
                   ":2)");
    }
  }
  if (hosts.empty()) return wrong("no host is named");
  return hosts;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  constexpr std::string_view kBlanks = " \t\r";
  while ((line = line.substr(std::min(line.find_first_not_of(kBlanks), line.size()))) != "") {
    const size_t end = std::min(line.find_first_of(kBlanks), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
  return words;
}

// "slots=4", or a word of Open MPI's that says nothing here.
Status take_word(std::string_view word, HostEntry& entry) {
  const size_t equals = word.find('=');
  const std::string_view key = word.substr(0, equals);
  if (equals == std::string_view::npos || (key != "slots" && key != "max_slots" && key != "max-slots")) {
    return wrong("'" + printable(word) + "' is not understood; slots=N says how many workers the host has");
  }
  if (key != "slots") return ok_status();
  const Result<int> slots = slots_of(entry.name, word.substr(equals + 1));
  if (!slots) return slots.error();
  entry.slots = *slots;
  return ok_status();
}

Result<HostEntry> entry_of_line(std::string_view line) {
  const std::vector<std::string_view> words = words_of(line);
  Result<HostEntry> entry = entry_of(words.front());
  for (size_t i = 1; entry && i < words.size(); ++i) {
    if (Status taken = take_word(words[i], *entry); !taken) return taken.error();
  }
  return entry;
}

}  // namespace

Result<std::vector<HostEntry>> parse_hosts(std::string_view list) {
  std::vector<HostEntry> hosts;
  // Slots are behind a colon, which Slurm's lists do not have; a name with brackets has none.
  std::string bracketed;
  int depth = 0;
  const auto finish = [&]() -> Status {
    if (bracketed.find('[') == std::string::npos) {
      Result<HostEntry> entry = entry_of(bracketed);
      if (!entry) return entry.error();
      hosts.push_back(std::move(*entry));
      return ok_status();
    }
    const Result<std::vector<std::string>> names = expand_hostlist(bracketed);
    if (!names) return names.error();
    for (const std::string& name : *names) hosts.push_back({name, std::nullopt});
    return ok_status();
  };
  for (const char c : std::string(list) + ",") {
    depth += (c == '[') - (c == ']');
    if (c != ',' || depth > 0) {
      bracketed += c;
      continue;
    }
    if (Status finished = finish(); !finished) return finished.error();
    bracketed.clear();
  }
  if (!bracketed.empty()) return wrong("'" + printable(bracketed) + "' lacks its closing bracket");
  return each_once(std::move(hosts));
}

Result<std::vector<HostEntry>> parse_host_file(std::string_view text) {
  std::vector<HostEntry> hosts;
  int number = 0;
  while (!text.empty()) {
    ++number;
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    line = line.substr(0, line.find('#'));
    if (words_of(line).empty()) continue;
    Result<HostEntry> entry = entry_of_line(line);
    if (!entry) return wrong("line " + std::to_string(number) + ": " + entry.error().message);
    hosts.push_back(std::move(*entry));
  }
  return each_once(std::move(hosts));
}

}  // namespace ferrun
