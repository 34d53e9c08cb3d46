#include "worker/train/heap.h"

#include <malloc.h>

namespace ferrun::train {

void keep_heap_small() {
  // Threads of Gloo and of the loader allocate little: arenas of their own would only keep memory from the others.
  mallopt(M_ARENA_MAX, 1);
}

}  // namespace ferrun::train
