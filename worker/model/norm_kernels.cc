#include "worker/model/norm_kernels.h"

#include <algorithm>
#include <bit>
#include <vector>

// One function for each instruction set, bound when the program is loaded.
#if defined(__x86_64__) && defined(__GNUC__)
#define FERRUN_FOR_EACH_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FERRUN_FOR_EACH_CPU
#endif

namespace ferrun::model::kernels {
namespace {

constexpr int64_t kChunkNumbers = int64_t{1} << 16;
// Narrow rows are taken several at a time: short inner loops would cost more than the arithmetic.
constexpr int64_t kWideRow = 256;
// Float sums run over so few rows before they are added to the double ones.
constexpr int64_t kFloatRows = 64;

// e^x to 2 units in the last place, without branches or tables, so that loops around it become vector code.
// Not-a-number stays. Beyond ±80 it stands still: sigmoids of such numbers differ from 0 and 1 by less than 1e-34, and
// never become denormal, which would cost a hundred cycles each.
inline float exponential(float x) {
  x = x < -80.0f ? -80.0f : x;
  x = x > 80.0f ? 80.0f : x;
  constexpr float kRound = 12582912.0f;  // adding 1.5 · 2^23 leaves no fraction
  const float n = (x * 1.44269504f + kRound) - kRound;
  // ln 2 in two parts: n times the first is exact.
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const int32_t exponent = static_cast<int32_t>(n) + 127;
  return (p * r * r + r + 1.0f) * std::bit_cast<float>(exponent << 23);
}

inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

inline float load(float x) { return x; }
inline float load(at::BFloat16 x) { return std::bit_cast<float>(uint32_t{x.x} << 16); }

inline void store(float value, float& to) { to = value; }
// As c10's conversion does it, in a form that becomes vector code.
inline void store(float value, at::BFloat16& to) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  to.x = static_cast<uint16_t>(value != value ? 0x7fc0u : nearest);
}

// How many rows make one wide row.
int64_t rows_at_once(int64_t channels) { return std::max<int64_t>(1, kWideRow / channels); }
// Of `rows` that are there: a small plane needs no wide row's numbers.
int64_t rows_at_once(int64_t channels, int64_t rows) { return std::min(rows_at_once(channels), rows); }

// The per-channel numbers for a wide row.
std::vector<float> repeated(const float* numbers, int64_t channels, int64_t times) {
  std::vector<float> all;
  all.reserve(static_cast<size_t>(channels * times));
  for (int64_t i = 0; i < times; ++i) all.insert(all.end(), numbers, numbers + channels);
  return all;
}

// Sums of a wide row's places, added to their channels.
void fold(std::vector<float>& places, int64_t channels, double* sums) {
  for (size_t place = 0; place < places.size(); ++place) {
    sums[place % static_cast<size_t>(channels)] += static_cast<double>(places[place]);
    places[place] = 0;
  }
}

// The rows as wide rows of `width` numbers: visit(offset, length) for each, in numbers; the last may be shorter.
template <typename Visit>
inline void for_each_wide_row(int64_t rows, int64_t channels, int64_t width, Visit&& visit) {
  const int64_t total = rows * channels;
  for (int64_t at = 0; at < total; at += width) visit(at, std::min(width, total - at));
}

template <typename T>
FERRUN_FOR_EACH_CPU void add_moments_row(const T* __restrict x, const float* __restrict shift, int64_t length,
                                         float* __restrict sum, float* __restrict square) {
  for (int64_t i = 0; i < length; ++i) {
    const float d = load(x[i]) - shift[i];
    sum[i] += d;
    square[i] += d * d;
  }
}

template <typename T>
FERRUN_FOR_EACH_CPU void normalize_row(const T* __restrict x, const float* __restrict scale,
                                       const float* __restrict offset, int64_t length, T* __restrict y) {
  for (int64_t i = 0; i < length; ++i) store(load(x[i]) * scale[i] + offset[i], y[i]);
}

template <typename T>
FERRUN_FOR_EACH_CPU void normalize_silu_row(const T* __restrict x, const float* __restrict scale,
                                            const float* __restrict offset, int64_t length, T* __restrict y) {
  for (int64_t i = 0; i < length; ++i) {
    const float z = load(x[i]) * scale[i] + offset[i];
    store(z * sigmoid(z), y[i]);
  }
}

template <typename T>
FERRUN_FOR_EACH_CPU void backward_sums_row(const T* __restrict x, const T* __restrict dy, const float* __restrict mean,
                                           int64_t length, T* __restrict dz, float* __restrict sum,
                                           float* __restrict product) {
  for (int64_t i = 0; i < length; ++i) {
    const float d = load(dy[i]);
    store(d, dz[i]);
    sum[i] += d;
    product[i] += d * (load(x[i]) - mean[i]);
  }
}

template <typename T>
FERRUN_FOR_EACH_CPU void backward_silu_sums_row(const T* __restrict x, const T* __restrict dy,
                                                const float* __restrict scale, const float* __restrict offset,
                                                const float* __restrict mean, int64_t length, T* __restrict dz,
                                                float* __restrict sum, float* __restrict product) {
  for (int64_t i = 0; i < length; ++i) {
    const float z = load(x[i]) * scale[i] + offset[i];
    const float s = sigmoid(z);
    const float d = load(dy[i]) * s * (1.0f + z * (1.0f - s));
    store(d, dz[i]);
    sum[i] += d;
    product[i] += d * (load(x[i]) - mean[i]);
  }
}

template <typename T>
FERRUN_FOR_EACH_CPU void backward_input_row(const T* __restrict x, const T* dz, const float* __restrict a,
                                            const float* __restrict b, const float* __restrict d, int64_t length,
                                            T* dx) {
  // dx may be dz itself, but no element depends on another's.
#pragma GCC ivdep
  for (int64_t i = 0; i < length; ++i) store(load(dz[i]) * a[i] + (load(x[i]) * b[i] + d[i]), dx[i]);
}

}  // namespace

int64_t chunk_rows(int64_t channels) {
  const int64_t together = rows_at_once(channels);
  return std::max<int64_t>(1, kChunkNumbers / (channels * together)) * together;
}

template <typename T>
void add_moments(const T* x, int64_t rows, int64_t channels, const float* shift, double* sum, double* square) {
  const int64_t together = rows_at_once(channels, rows);
  const auto shifts = repeated(shift, channels, together);
  std::vector<float> sums(shifts.size()), squares(shifts.size());
  for (int64_t begin = 0; begin < rows; begin += kFloatRows * together) {
    const int64_t part = std::min(rows - begin, kFloatRows * together);
    const T* from = x + begin * channels;
    for_each_wide_row(part, channels, together * channels, [&](int64_t at, int64_t length) {
      add_moments_row(from + at, shifts.data(), length, sums.data(), squares.data());
    });
    fold(sums, channels, sum);
    fold(squares, channels, square);
  }
}

template <typename T>
void normalize(const T* x, int64_t rows, int64_t channels, const float* scale, const float* offset, bool activate,
               T* y) {
  const int64_t together = rows_at_once(channels, rows);
  const auto scales = repeated(scale, channels, together), offsets = repeated(offset, channels, together);
  const auto row = activate ? normalize_silu_row<T> : normalize_row<T>;
  for_each_wide_row(rows, channels, together * channels,
                    [&](int64_t at, int64_t length) { row(x + at, scales.data(), offsets.data(), length, y + at); });
}

template <typename T>
void backward_sums(const T* x, const T* dy, int64_t rows, int64_t channels, const float* scale, const float* offset,
                   const float* mean, bool activate, T* dz, double* sum, double* product) {
  const int64_t together = rows_at_once(channels, rows);
  const auto scales = repeated(scale, channels, together), offsets = repeated(offset, channels, together);
  const auto means = repeated(mean, channels, together);
  std::vector<float> sums(means.size()), products(means.size());
  for (int64_t begin = 0; begin < rows; begin += kFloatRows * together) {
    const int64_t part = std::min(rows - begin, kFloatRows * together), first = begin * channels;
    for_each_wide_row(part, channels, together * channels, [&](int64_t at, int64_t length) {
      const int64_t place = first + at;
      if (activate) {
        backward_silu_sums_row(x + place, dy + place, scales.data(), offsets.data(), means.data(), length, dz + place,
                               sums.data(), products.data());
      } else {
        backward_sums_row(x + place, dy + place, means.data(), length, dz + place, sums.data(), products.data());
      }
    });
    fold(sums, channels, sum);
    fold(products, channels, product);
  }
}

template <typename T>
void backward_input(const T* x, const T* dz, int64_t rows, int64_t channels, const float* a, const float* b,
                    const float* d, T* dx) {
  const int64_t together = rows_at_once(channels, rows);
  const auto as = repeated(a, channels, together), bs = repeated(b, channels, together);
  const auto ds = repeated(d, channels, together);
  for_each_wide_row(rows, channels, together * channels, [&](int64_t at, int64_t length) {
    backward_input_row(x + at, dz + at, as.data(), bs.data(), ds.data(), length, dx + at);
  });
}

// The types that there are.
#define FERRUN_NORM_KERNELS(T)                                                                                         \
  template void add_moments<T>(const T*, int64_t, int64_t, const float*, double*, double*);                            \
  template void normalize<T>(const T*, int64_t, int64_t, const float*, const float*, bool, T*);                        \
  template void backward_sums<T>(const T*, const T*, int64_t, int64_t, const float*, const float*, const float*, bool, \
                                 T*, double*, double*);                                                                \
  template void backward_input<T>(const T*, const T*, int64_t, int64_t, const float*, const float*, const float*, T*)
FERRUN_NORM_KERNELS(float);
FERRUN_NORM_KERNELS(at::BFloat16);
#undef FERRUN_NORM_KERNELS

}  // namespace ferrun::model::kernels
