#include "worker/train/heap.h"

#include <malloc.h>

namespace ferrun::train {

void tune_heap() {
  // Threads of Gloo and of the loader allocate little: arenas of their own would only keep memory from the others.
  mallopt(M_ARENA_MAX, 1);
  // Tensors above 32 MB would be mapped for each use, and what is free at the heap's end given back: the kernel would
  // clear the same pages anew in every step, which took a tenth of a step at 224² with 64 pictures.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
}

}  // namespace ferrun::train
