// FERRUN_SIMD_CLONES: compiles a function for AVX2, SSE4.1 and the baseline; the loader picks by the processor at
// start. The clones compute the same integers. Left out where it does not apply: sanitizers instrument before the
// choice is made.
#pragma once

#if defined(__x86_64__) && defined(__ELF__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define FERRUN_SIMD_CLONES __attribute__((target_clones("avx2", "sse4.1", "default")))
#else
#define FERRUN_SIMD_CLONES
#endif
