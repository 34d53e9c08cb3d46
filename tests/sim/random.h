// The one source of chance in a simulated world: a seed gives the same numbers on every machine (the standard library's
// distributions do not). splitmix64; seeds are mixed first, because those of neighbours would be the same stream, one
// number apart.
#pragma once

#include <cstdint>

#include "common/time.h"

namespace ferrun::sim {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(mix(mix(seed + 0x632be59bd9b4e019u))) {}

  // Chance is switched off: always the least.
  static Random steady() {
    Random random(0);
    random.steady_ = true;
    return random;
  }

  uint64_t next() {
    if (steady_) return 0;
    return mix(state_ += 0x9e3779b97f4a7c15u);
  }

  // From 0 to `n` - 1; `n` > 0.
  uint64_t below(uint64_t n) { return next() % n; }
  int pick(int least, int most) { return least + static_cast<int>(below(static_cast<uint64_t>(most - least) + 1)); }
  bool chance(int percent) { return below(100) < static_cast<uint64_t>(percent); }
  bool per_mille(int n) { return below(1000) < static_cast<uint64_t>(n); }
  Duration between(Duration least, Duration most) {
    if (most <= least) return least;
    return least + Duration(static_cast<int64_t>(below(static_cast<uint64_t>((most - least).count()) + 1)));
  }
  template <typename Container>
  const auto& one_of(const Container& choices) {
    return choices[below(choices.size())];
  }

 private:
  static constexpr uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  uint64_t state_;
  bool steady_ = false;
};

}  // namespace ferrun::sim
