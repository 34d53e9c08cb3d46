// What a drawn face shows: a person (fixed features), an expression (what moves) and a scene (pose, light, noise).
// Plain numbers, drawn at random around each class's type. Lengths are in face units: the head is about 2 high and its
// centre is the origin; x goes right, y down.
#pragma once

#include <array>

#include "worker/data/random.h"

namespace ferrun::data {

enum class Emotion { kAngry, kDisgust, kFear, kHappy, kNeutral, kSad, kSurprise };
inline constexpr int kEmotions = 7;
inline constexpr std::array<const char*, kEmotions> kEmotionNames = {"angry",   "disgust", "fear",    "happy",
                                                                     "neutral", "sad",     "surprise"};

struct Expression {
  float mouth_curve = 0;      // corners above (+) or below (−) the mouth's middle
  float mouth_open = 0;       // height of the gap between the lips
  float mouth_width = 0.36f;  // half of it
  float lip_raise = 0;        // upper lip drawn up in its middle, as in a sneer
  float teeth = 0;            // share of the gap that shows teeth
  float brow_height = 0;      // above (+) or below (−) rest
  float brow_slope = 0;       // inner ends up (+) or down (−)
  float brow_arch = 0.03f;
  float eye_open = 1;       // 1 at rest
  float lid_slope = 0;      // upper lids falling to the outside (+)
  float nose_wrinkles = 0;  // 0 … 1
  float cheek_folds = 0;    // 0 … 1
};

struct Person {
  float head_width, chin, hair_line, hair_shade, skin, iris, eye_distance, eye_size, nose_length, brow_weight,
      lip_shade;
  bool glasses, beard;
  std::array<float, 3> tint;  // of the whole picture's red, green and blue
};

struct Scene {
  float roll, scale, shift_x, shift_y;  // scale: picture sizes per face unit
  float light_x, light_y, brightness, contrast, noise, background;
};

// `emotion` as this person shows it this time: weakly or strongly, and never twice the same.
Expression draw_expression(Emotion emotion, SplitMix64& random);
Person draw_person(SplitMix64& random);
Scene draw_scene(SplitMix64& random);

}  // namespace ferrun::data
