// The story of a run, one line an event; off unless somebody reads it.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "tests/sim/clock.h"

namespace ferrun::sim {

class Trace {
 public:
  enum class To { kNobody, kStdout, kText };
  explicit Trace(To to = To::kNobody) : to_(to) {}

  // Whether it is worth while to make a line.
  bool on() const { return to_ != To::kNobody; }
  // Whether messages are shown too, beside what they lead to.
  bool messages() const { return on() && messages_; }
  void show_messages(bool show) { messages_ = show; }
  void line(TrueTime at, std::string_view who, std::string_view what) {
    if (!on()) return;
    char stamp[64];
    std::snprintf(stamp, sizeof stamp, "%9.3f ", std::chrono::duration<double>(at.time_since_epoch()).count());
    std::string text = stamp + std::string(who);
    if (who.size() < kColumn) text.append(kColumn - who.size(), ' ');
    text.append(" ").append(what).append("\n");
    if (to_ == To::kText) {
      text_ += text;
    } else {
      std::fwrite(text.data(), 1, text.size(), stdout);
    }
  }
  // What was written since the last time.
  std::string take_text() { return std::exchange(text_, {}); }

 private:
  static constexpr size_t kColumn = 11;
  To to_;
  bool messages_ = true;
  std::string text_;
};

}  // namespace ferrun::sim
