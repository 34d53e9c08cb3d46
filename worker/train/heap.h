// Settings of glibc's heap for a program whose memory is the same few hundred large tensors in every step.
#pragma once

namespace ferrun::train {

// Once, before the first thread.
void tune_heap();

}  // namespace ferrun::train
