// ceil(3) in place of the C mathematics library's. The hash tables of libstdc++ call it, and nothing else of libm is
// used: without libm every agent and every sentinel starts with a library less to load and 0.3 MB less in memory.
extern "C" double ceil(double value) noexcept {
  constexpr double kAllIntegers = 4503599627370496.0;  // 2^52: from here on every double is one
  if (!(__builtin_fabs(value) < kAllIntegers)) return value;
  const auto towards_zero = static_cast<double>(static_cast<long long>(value));
  const double up = towards_zero < value ? towards_zero + 1.0 : towards_zero;
  return __builtin_copysign(up, value);
}
