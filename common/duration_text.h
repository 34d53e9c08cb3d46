// Durations as text. Which form a sentence needs follows from what the time is: one that was set, that was measured,
// that passed, or that is left. Pure.
#pragma once

#include <string>

#include "common/time.h"

namespace ferrun {

// One that was set: "30 s", "250 ms".
std::string exact_text(Duration duration);

// The same as a bare number of seconds, as an option takes it: "30", "0.5".
std::string seconds_number(Duration duration);

// One that was measured: "45 ms", "2.31 s"; below a second with so many digits behind the point.
std::string measured_text(Duration duration, int millisecond_digits = 0);

// An age, rounded down: "340 ms", "12 s", "5 min 20 s", "3 h 5 min".
std::string age_text(Duration duration);

// One that is left: "0.3 s", "1.2 s", "12 s", "3 min". Rounded up, so that nothing happens before its time is said to
// be over.
std::string in_words(Duration duration);

}  // namespace ferrun
