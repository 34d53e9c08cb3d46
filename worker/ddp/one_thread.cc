#include "worker/ddp/one_thread.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>

namespace ferrun::ddp {

void compute_on_one_thread() {
  // Torch sets a thread's number when it is first asked in it, and never again.
  at::get_num_threads();
  // Of the OpenMP library that LibTorch has brought, if it is built with one; what it sets is the thread's own.
  using SetNumThreads = void (*)(int);
  if (const auto set = reinterpret_cast<SetNumThreads>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"))) set(1);
}

}  // namespace ferrun::ddp
