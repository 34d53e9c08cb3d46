// Threads that compute beside each other, each without torch's own.
#pragma once

namespace ferrun::ddp {

// Makes torch's operations in the calling thread use this thread alone: those of several threads would start as many
// more for each of them. at::set_num_threads() is the whole process's.
void compute_on_one_thread();

}  // namespace ferrun::ddp
