// The arithmetic of BatchNorm and SiLU over float pictures in channels_last memory: rows of `channels` numbers, one row
// a position. Plain loops without LibTorch; the compiler makes versions for AVX2 and AVX-512, chosen at start-up.
//
// Work is cut into chunks of rows whose size depends on nothing but the shape, and sums are taken chunk by chunk in
// double, so results do not depend on how chunks are spread over threads.
#pragma once

#include <cstdint>

namespace ferrun::model::kernels {

// Rows of one chunk.
int64_t chunk_rows(int64_t channels);

// sum[c] += Σ (x - shift[c]), square[c] += Σ (x - shift[c])² over the rows. A shift near the mean keeps the squares
// exact.
void add_moments(const float* x, int64_t rows, int64_t channels, const float* shift, double* sum, double* square);

// y = x · scale[c] + offset[c], then SiLU if `activate`.
void normalize(const float* x, int64_t rows, int64_t channels, const float* scale, const float* offset, bool activate,
               float* y);

// The gradient at the normalised value: dz = dy · silu'(x · scale + offset), or dy itself. Writes it, and adds
// sum[c] += Σ dz, product[c] += Σ dz · (x - mean[c]).
void backward_sums(const float* x, const float* dy, int64_t rows, int64_t channels, const float* scale,
                   const float* offset, const float* mean, bool activate, float* dz, double* sum, double* product);

// dx = dz · a[c] + x · b[c] + d[c]; dx and dz may be the same memory.
void backward_input(const float* x, const float* dz, int64_t rows, int64_t channels, const float* a, const float* b,
                    const float* d, float* dx);

}  // namespace ferrun::model::kernels
