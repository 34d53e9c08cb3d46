// splitmix64 (Steele, Lea and Flood 2014): a small generator for what is drawn per sample. Its numbers are the same on
// every machine and with every standard library, which <random>'s distributions do not promise.
#pragma once

#include <cstdint>

namespace ferrun::data {

// The generator's output function: a bijection that scatters all bits.
constexpr uint64_t mix64(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

// Seed of one sample's draws: a hash of its arguments.
constexpr uint64_t sample_seed(uint64_t seed, int64_t epoch, int64_t index) {
  uint64_t state = mix64(seed + 0x9e3779b97f4a7c15u);
  state = mix64(state ^ (static_cast<uint64_t>(epoch) + 0x9e3779b97f4a7c15u));
  return mix64(state ^ (static_cast<uint64_t>(index) + 0x9e3779b97f4a7c15u));
}

class SplitMix64 {
 public:
  explicit constexpr SplitMix64(uint64_t seed) : state_(seed) {}

  constexpr uint64_t next() { return mix64(state_ += 0x9e3779b97f4a7c15u); }

  // In [0, 1), 53 bits.
  constexpr double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  constexpr double uniform(double low, double high) { return low + (high - low) * uniform(); }
  constexpr bool coin() { return (next() >> 63) != 0; }

  // In 0 … count − 1, count ≥ 1. The bias, count / 2^32, is of no matter for pixels.
  constexpr int below(int count) { return static_cast<int>(((next() >> 32) * static_cast<uint64_t>(count)) >> 32); }

 private:
  uint64_t state_;
};

}  // namespace ferrun::data
