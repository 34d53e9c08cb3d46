// The arithmetic of BatchNorm and SiLU over rows of `channels` numbers: of pictures in channels_last memory one row a
// position, of pictures in contiguous memory each plane as rows of one channel. Plain loops without LibTorch but for
// the name of a type; the compiler makes versions for AVX2 and AVX-512, chosen at start-up.
//
// T is float or at::BFloat16, the type of the pictures and their gradients in memory. All else is float whatever T is,
// and each result is rounded to T once, to the nearest even.
//
// Work is cut into chunks of rows whose size depends on nothing but the shape, and sums are taken chunk by chunk in
// double, so results do not depend on how chunks are spread over threads.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace ferrun::model::kernels {

// Rows of one chunk.
int64_t chunk_rows(int64_t channels);

// sum[c] += Σ (x - shift[c]), square[c] += Σ (x - shift[c])² over the rows. A shift near the mean keeps the squares
// exact.
template <typename T>
void add_moments(const T* x, int64_t rows, int64_t channels, const float* shift, double* sum, double* square);

// y = x · scale[c] + offset[c], then SiLU if `activate`.
template <typename T>
void normalize(const T* x, int64_t rows, int64_t channels, const float* scale, const float* offset, bool activate,
               T* y);

// The gradient at the normalised value: dz = dy · silu'(x · scale + offset), or dy itself. Writes it, and adds
// sum[c] += Σ dz, product[c] += Σ dz · (x - mean[c]).
template <typename T>
void backward_sums(const T* x, const T* dy, int64_t rows, int64_t channels, const float* scale, const float* offset,
                   const float* mean, bool activate, T* dz, double* sum, double* product);

// dx = dz · a[c] + x · b[c] + d[c]; dx and dz may be the same memory.
template <typename T>
void backward_input(const T* x, const T* dz, int64_t rows, int64_t channels, const float* a, const float* b,
                    const float* d, T* dx);

}  // namespace ferrun::model::kernels
