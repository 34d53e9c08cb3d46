#include "rendezvous/member/dial_journal.h"

#include <algorithm>

namespace ferrun {
namespace {

constexpr Duration kBetweenNumbers = std::chrono::seconds(1);
constexpr Duration kTurnedAwayForGood = std::chrono::seconds(2);

std::string times(int count) { return count == 1 ? "" : " " + std::to_string(count) + " times"; }

std::string in(Duration time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time).count();
  return seconds == 0 ? "" : " in " + std::to_string(seconds) + " s";
}

}  // namespace

void DialJournal::note(Trouble& trouble, const std::string& what, bool turned_away, TimePoint now) {
  if (trouble.what != what) trouble = {what, turned_away, 0, now, now};
  ++trouble.times;
  trouble.newest = now;
}

void DialJournal::not_resolved(const std::string& why, TimePoint now) { note(name_, why, false, now); }

void DialJournal::resolved(const std::vector<IpAddress>& addresses) {
  name_ = {};
  std::map<IpAddress, Trouble> kept;
  for (const IpAddress& address : addresses) kept[address] = addresses_[address];
  addresses_ = std::move(kept);
}

void DialJournal::failed(const IpAddress& address, const std::string& what, TimePoint now) {
  note(addresses_[address], what, false, now);
}

void DialJournal::turned_away(const IpAddress& address, const std::string& line, TimePoint now) {
  note(addresses_[address], line, true, now);
}

std::string DialJournal::name(const IpAddress& address) const {
  const std::string numeric = to_string(address);
  return numeric == endpoint_.host ? numeric : endpoint_.host + " (" + numeric + ")";
}

std::string DialJournal::where(const IpAddress& address) const {
  return name(address) + ", port " + std::to_string(endpoint_.port);
}

std::string DialJournal::line() const {
  if (!name_.what.empty()) {
    return "the name " + endpoint_.host + " does not resolve (" + name_.what + ")" +
           (name_.times == 1 ? "" : ", asked" + times(name_.times)) + in(name_.newest - name_.since);
  }
  std::string text;
  for (const auto& [address, trouble] : addresses_) {
    if (trouble.what.empty()) continue;
    if (!text.empty()) text += ", ";
    if (trouble.turned_away) {
      text += "no session with " + name(address) + ": " + trouble.what;
    } else {
      text += name(address) + " " + trouble.what + times(trouble.times) + in(trouble.newest - trouble.since);
    }
  }
  return text;
}

bool DialJournal::is_final() const {
  return std::any_of(addresses_.begin(), addresses_.end(), [](const auto& entry) {
    const Trouble& trouble = entry.second;
    return trouble.turned_away && trouble.newest - trouble.since >= kTurnedAwayForGood;
  });
}

std::optional<DialNote> DialJournal::take_note(TimePoint now) {
  std::string kind = name_.what;
  for (const auto& [address, trouble] : addresses_) kind += "|" + trouble.what;
  const DialNote note{line(), is_final()};
  if (note.tried.empty()) return std::nullopt;
  if (kind == told_kind_ && note.final == told_final_ && now - told_at_ < kBetweenNumbers) return std::nullopt;
  told_kind_ = kind;
  told_final_ = note.final;
  told_at_ = now;
  return note;
}

}  // namespace ferrun
