// Settings of glibc's heap for a program whose memory is a few hundred large tensors a step.
#pragma once

namespace ferrun::train {

// Once, before the first thread.
void keep_heap_small();

}  // namespace ferrun::train
