// Draws one face. A pure function of its arguments.
#pragma once

#include <cstdint>

#include "worker/data/expression.h"
#include "worker/data/image.h"

namespace ferrun::data {

// `image` becomes size × size; its memory is used again. Everything random about the face comes from `seed`.
void paint_face(Emotion emotion, int size, uint64_t seed, Image& image);

}  // namespace ferrun::data
