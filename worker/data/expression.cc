#include "worker/data/expression.h"

namespace ferrun::data {
namespace {

// The classes' types at full strength. Real ones share features: fear and surprise widen the eyes, anger and disgust
// lower the brows, sadness and fear raise their inner ends; so no single feature tells them all apart.
Expression type_of(Emotion emotion, SplitMix64& random) {
  switch (emotion) {
    case Emotion::kAngry:
      if (random.coin()) {  // teeth bared
        return {.mouth_curve = -0.05f,
                .mouth_open = 0.16f,
                .mouth_width = 0.39f,
                .teeth = 1.0f,
                .brow_height = -0.12f,
                .brow_slope = -0.40f,
                .brow_arch = 0.0f,
                .eye_open = 0.75f,
                .lid_slope = -0.10f,
                .nose_wrinkles = 0.3f,
                .cheek_folds = 0.3f};
      }
      return {.mouth_curve = -0.08f,
              .mouth_open = 0.00f,
              .mouth_width = 0.28f,
              .brow_height = -0.12f,
              .brow_slope = -0.42f,
              .brow_arch = 0.0f,
              .eye_open = 0.7f,
              .lid_slope = -0.10f};
    case Emotion::kDisgust:
      return {.mouth_curve = -0.09f,
              .mouth_open = 0.07f,
              .mouth_width = 0.33f,
              .lip_raise = 0.15f,
              .teeth = 0.6f,
              .brow_height = -0.06f,
              .brow_slope = -0.12f,
              .brow_arch = 0.01f,
              .eye_open = 0.45f,
              .nose_wrinkles = 1.0f,
              .cheek_folds = 0.9f};
    case Emotion::kFear:
      return {.mouth_curve = -0.07f,
              .mouth_open = 0.14f,
              .mouth_width = 0.46f,
              .teeth = 0.3f,
              .brow_height = 0.10f,
              .brow_slope = 0.28f,
              .brow_arch = 0.0f,
              .eye_open = 1.5f};
    case Emotion::kHappy:
      if (random.coin()) {  // a laugh
        return {.mouth_curve = 0.25f,
                .mouth_open = 0.23f,
                .mouth_width = 0.46f,
                .teeth = 0.6f,
                .brow_height = 0.03f,
                .brow_arch = 0.05f,
                .eye_open = 0.6f,
                .cheek_folds = 0.6f};
      }
      return {.mouth_curve = 0.25f,
              .mouth_open = 0.03f,
              .mouth_width = 0.46f,
              .brow_height = 0.02f,
              .brow_arch = 0.05f,
              .eye_open = 0.75f,
              .cheek_folds = 0.5f};
    case Emotion::kNeutral: return {};
    case Emotion::kSad:
      return {.mouth_curve = -0.20f,
              .mouth_open = 0.00f,
              .mouth_width = 0.33f,
              .brow_height = 0.04f,
              .brow_slope = 0.38f,
              .brow_arch = 0.0f,
              .eye_open = 0.6f,
              .lid_slope = 0.22f};
    case Emotion::kSurprise:
      return {.mouth_curve = 0.00f,
              .mouth_open = 0.39f,
              .mouth_width = 0.23f,
              .brow_height = 0.20f,
              .brow_slope = 0.0f,
              .brow_arch = 0.10f,
              .eye_open = 1.5f};
  }
  return {};
}

float between(SplitMix64& random, double low, double high) { return static_cast<float>(random.uniform(low, high)); }

}  // namespace

Expression draw_expression(Emotion emotion, SplitMix64& random) {
  const Expression type = type_of(emotion, random);
  const Expression rest;
  const float strength = between(random, 0.75, 1.2);
  // From rest towards the type by the drawn strength, and a little of one's own in every feature.
  const auto blend = [&](float from, float to, double own) {
    return from + (to - from) * strength + between(random, -own, own);
  };
  const auto positive = [](float value) { return value > 0 ? value : 0; };
  Expression shown;
  shown.mouth_curve = blend(rest.mouth_curve, type.mouth_curve, 0.02);
  shown.mouth_open = positive(blend(rest.mouth_open, type.mouth_open, 0.015));
  shown.mouth_width = blend(rest.mouth_width, type.mouth_width, 0.03);
  shown.lip_raise = blend(rest.lip_raise, type.lip_raise, 0.01);
  shown.teeth = type.teeth > 0 ? positive(blend(type.teeth, type.teeth, 0.2)) : 0;
  shown.brow_height = blend(rest.brow_height, type.brow_height, 0.025);
  shown.brow_slope = blend(rest.brow_slope, type.brow_slope, 0.05);
  shown.brow_arch = blend(rest.brow_arch, type.brow_arch, 0.015);
  shown.eye_open = positive(blend(rest.eye_open, type.eye_open, 0.1) - 0.15f) + 0.15f;
  shown.lid_slope = blend(rest.lid_slope, type.lid_slope, 0.04);
  shown.nose_wrinkles = positive(blend(rest.nose_wrinkles, type.nose_wrinkles, 0.08));
  shown.cheek_folds = positive(blend(rest.cheek_folds, type.cheek_folds, 0.1));
  return shown;
}

Person draw_person(SplitMix64& random) {
  Person person;
  person.head_width = between(random, 0.68, 0.82);
  person.chin = between(random, 0.94, 1.06);
  person.hair_line = between(random, -0.80, -0.60);
  person.hair_shade = between(random, 0.05, 0.45);
  person.skin = between(random, 0.50, 0.85);
  person.iris = between(random, 0.05, 0.30);
  person.eye_distance = between(random, 0.30, 0.35);
  person.eye_size = between(random, 0.145, 0.175);
  person.nose_length = between(random, 0.27, 0.36);
  person.brow_weight = between(random, 0.045, 0.07);
  person.lip_shade = between(random, 0.45, 0.7);
  person.glasses = random.uniform() < 0.10;
  person.beard = random.uniform() < 0.10;
  const float warmth = between(random, 0.0, 0.16);
  person.tint = {1.0f + warmth, 1.0f, 1.0f - warmth};
  return person;
}

Scene draw_scene(SplitMix64& random) {
  Scene scene;
  scene.roll = between(random, -0.14, 0.14);
  scene.scale = between(random, 0.45, 0.50);
  scene.shift_x = between(random, -0.05, 0.05);
  scene.shift_y = between(random, -0.04, 0.06);
  scene.light_x = between(random, -0.22, 0.22);
  scene.light_y = between(random, -0.20, 0.05);
  scene.brightness = between(random, 0.80, 1.12);
  scene.contrast = between(random, 0.85, 1.15);
  scene.noise = between(random, 0.01, 0.04);
  scene.background = between(random, 0.1, 0.9);
  return scene;
}

}  // namespace ferrun::data
