#include "worker/data/face_painter.h"

#include <algorithm>
#include <cmath>

#include "worker/data/canvas.h"

namespace ferrun::data {
namespace {

constexpr float kEyeLine = -0.16f;
constexpr float kMouthLine = 0.52f;

void paint_head(Canvas& canvas, const Person& person) {
  const float hair = person.hair_shade;
  canvas.ellipse({{0, -0.22f}}, {person.head_width + 0.11f, 0.92f}, hair);
  for (const float side : {-1.0f, 1.0f})
    canvas.ellipse({{side * (person.head_width + 0.01f), 0.0f}}, {0.09f, 0.17f}, person.skin * 0.85f);
  canvas.ellipse({{0, 0}}, {person.head_width, person.chin}, person.skin);
  canvas.ellipse({{0, 0.35f}}, {person.head_width * 0.62f, 0.45f}, person.skin * 1.06f, 0.5f,
                 0.3f);  // cheeks catch light
  // The fringe: what of the skull lies above the hair line. It reaches over the skin's soft edge.
  const Point skull{person.head_width + 0.03f, person.chin + 0.03f};
  constexpr float kForehead = -0.75f;
  canvas.draw({{0, kForehead}}, {person.head_width + 0.1f, 0.4f}, hair, 1.0f, [&](float x, float dy) {
    const float y = dy + kForehead;
    return std::max(Canvas::ellipse_distance(x, y, skull), y - person.hair_line - 0.16f * x * x);
  });
  if (person.beard) {
    constexpr float kJaw = 0.75f;
    canvas.draw(
        {{0, kJaw}}, {person.head_width + 0.1f, 0.45f}, hair, 0.55f,
        [&](float x, float dy) {
          const float y = dy + kJaw;
          return std::max(Canvas::ellipse_distance(x, y, skull), 0.72f - 0.5f * x * x - y);
        },
        0.15f);
  }
}

void paint_nose(Canvas& canvas, const Person& person, const Expression& shown) {
  const float dark = person.skin * 0.68f;
  const float tip = kEyeLine + person.nose_length + 0.10f;
  canvas.ellipse({{0, tip - 0.02f}}, {0.11f, 0.08f}, person.skin * 1.1f, 0.6f, 0.06f);
  for (const float side : {-1.0f, 1.0f})
    canvas.ellipse({{side * 0.065f, tip + 0.055f}}, {0.032f, 0.02f}, person.skin * 0.35f);
  canvas.arc({{0.085f, tip - 0.17f}, 1.45f}, 0.14f, 0.02f, 0.022f, dark, 0.6f);
  if (shown.nose_wrinkles > 0.05f) {
    const float strength = std::min(1.0f, shown.nose_wrinkles);
    for (int line = 0; line < 3; ++line) {
      canvas.arc({{0, kEyeLine + 0.01f + 0.075f * static_cast<float>(line)}}, 0.11f, 0.035f, 0.03f, person.skin * 0.5f,
                 0.85f * strength, 0.5f);
    }
  }
}

// Folds from the nose's wings down to the mouth's corners.
void paint_folds(Canvas& canvas, const Person& person, const Expression& shown) {
  const float strength = std::min(1.0f, shown.cheek_folds);
  if (strength < 0.05f) return;
  for (const float side : {-1.0f, 1.0f}) {
    canvas.arc({{side * 0.30f, 0.36f}, side * 1.05f + (side < 0 ? 3.1416f : 0.0f)}, 0.17f, -0.03f * side, 0.03f,
               person.skin * 0.58f, 0.8f * strength, 0.6f);
  }
}

void paint_eye(Canvas& canvas, const Person& person, const Expression& shown, float side) {
  const Place place{{side * person.eye_distance, kEyeLine}, side * shown.lid_slope};
  const float half = person.eye_size;
  const float open = half * 0.52f * shown.eye_open;
  const Point lids{half, std::max(open, 0.02f)};
  canvas.ellipse({{place.at.x, place.at.y}}, {half * 1.35f, half * 1.05f}, person.skin * 0.84f, 0.5f, 0.08f);  // socket
  canvas.ellipse(place, lids, 0.95f);
  const float iris = half * 0.50f;
  canvas.draw(place, {half, half}, person.iris, 1.0f, [&](float x, float y) {
    return std::max(Canvas::ellipse_distance(x, y, lids), std::sqrt(x * x + y * y) - iris);
  });
  // The upper lid follows the opening's edge.
  canvas.arc({{place.at.x, place.at.y - lids.y}, place.turn}, half * 1.02f, -lids.y * 0.9f, 0.035f, person.skin * 0.3f,
             0.95f, 0.4f);
  canvas.arc({{place.at.x, place.at.y + lids.y}, place.turn}, half * 0.9f, lids.y * 0.8f, 0.018f, person.skin * 0.5f,
             0.6f, 0.4f);
}

void paint_brow(Canvas& canvas, const Person& person, const Expression& shown, float side) {
  const float y = kEyeLine - 0.235f - shown.brow_height;
  canvas.arc({{side * (person.eye_distance + 0.01f), y}, side * shown.brow_slope}, 0.185f, -shown.brow_arch,
             person.brow_weight * 1.5f, std::min(person.hair_shade, person.skin * 0.5f), 0.95f, 0.45f);
}

void paint_mouth(Canvas& canvas, const Person& person, const Expression& shown) {
  const float half = shown.mouth_width;
  const float lip = person.skin * person.lip_shade;
  // Upper and lower edge of the gap at x: both meet in the corners, which lie `mouth_curve` above the middle.
  const auto middle = [&](float t) { return shown.mouth_curve * (0.5f - t * t); };
  // A mouth opened tall is round; a wide one has pointed corners.
  const float roundness = std::clamp((shown.mouth_open / half - 0.6f) * 2.0f, 0.0f, 1.0f);
  const auto bow = [&](float t) {
    const float pointed = std::max(0.0f, 1.0f - t * t);
    return pointed + roundness * (std::sqrt(pointed) - pointed);
  };
  const auto upper = [&](float t) { return middle(t) - (0.5f * shown.mouth_open + shown.lip_raise) * bow(t); };
  const auto lower = [&](float t) { return middle(t) + (0.5f * shown.mouth_open - 0.6f * shown.lip_raise) * bow(t); };
  const float full = 0.055f;  // of the lips
  const Point reach{half + 0.03f,
                    0.5f * (shown.mouth_open + std::abs(shown.mouth_curve)) + shown.lip_raise + full + 0.05f};
  const Place place{{0, kMouthLine + (shown.mouth_open > 0.25f ? 0.06f : 0.0f)}};
  canvas.draw(place, reach, lip, 0.9f, [&](float x, float y) {
    const float t = x / half;
    const float round = full * std::max(0.15f, 1.0f - 0.8f * t * t);
    return std::max({upper(t) - 0.8f * round - y, y - lower(t) - round, std::abs(x) - half});
  });
  canvas.draw(place, reach, 0.06f, 1.0f, [&](float x, float y) {
    const float t = x / half;
    return std::max({upper(t) - 0.014f - y, y - lower(t) - 0.014f, std::abs(x) - half});
  });
  if (shown.teeth > 0.05f && shown.mouth_open > 0.03f) {
    canvas.draw(place, reach, 0.92f, 1.0f, [&](float x, float y) {
      const float t = x / half;
      const float gap = lower(t) - upper(t);
      return std::max(
          {upper(t) + 0.012f - y, y - upper(t) - gap * std::min(shown.teeth, 0.9f), std::abs(x) - 0.9f * half});
    });
  }
}

void paint_glasses(Canvas& canvas, const Person& person) {
  for (const float side : {-1.0f, 1.0f}) {
    canvas.draw({{side * person.eye_distance, kEyeLine + 0.02f}}, {0.3f, 0.3f}, 0.1f, 0.85f, [](float x, float y) {
      return std::abs(Canvas::ellipse_distance(x, y, {0.23f, 0.20f})) - 0.016f;
    });
  }
  canvas.arc({{0, kEyeLine - 0.02f}}, 0.09f, 0.02f, 0.03f, 0.1f, 0.85f);
}

// Roughly normal, variance 1: four uniforms from one draw.
float rough_normal(SplitMix64& random) {
  const uint64_t bits = random.next();
  int sum = 0;
  for (int part = 0; part < 4; ++part) sum += static_cast<int>((bits >> (16 * part)) & 0xffff);
  return (static_cast<float>(sum) - 2.0f * 65535.0f) * (1.0f / 37837.0f);
}

void read_out(const std::vector<float>& grey, const Person& person, const Scene& scene, int size, SplitMix64& random,
              Image& image) {
  image.width = image.height = size;
  image.pixels.resize(static_cast<size_t>(size) * static_cast<size_t>(size) * 3);
  uint8_t* to = image.pixels.data();
  const float step = 2.0f / static_cast<float>(size);
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x, to += 3) {
      const float light = 1.0f + scene.light_x * (step * static_cast<float>(x) - 1.0f) +
                          scene.light_y * (step * static_cast<float>(y) - 1.0f);
      const float value = grey[static_cast<size_t>(y) * static_cast<size_t>(size) + static_cast<size_t>(x)];
      const float seen =
          (0.5f + (value - 0.5f) * scene.contrast) * scene.brightness * light + scene.noise * rough_normal(random);
      for (int c = 0; c < 3; ++c)
        to[c] =
            static_cast<uint8_t>(std::clamp(255.0f * seen * person.tint[static_cast<size_t>(c)] + 0.5f, 0.0f, 255.0f));
    }
  }
}

}  // namespace

void paint_face(Emotion emotion, int size, uint64_t seed, Image& image) {
  SplitMix64 random(seed);
  const Person person = draw_person(random);
  const Expression shown = draw_expression(emotion, random);
  const Scene scene = draw_scene(random);

  thread_local std::vector<float> grey;
  const auto extent = static_cast<float>(size);
  grey.assign(static_cast<size_t>(size) * static_cast<size_t>(size), scene.background);
  Canvas canvas(size, {extent * (0.5f + scene.shift_x), extent * (0.5f + scene.shift_y)}, extent * scene.scale,
                scene.roll, grey);
  paint_head(canvas, person);
  paint_folds(canvas, person, shown);
  paint_nose(canvas, person, shown);
  for (const float side : {-1.0f, 1.0f}) {
    paint_eye(canvas, person, shown, side);
    paint_brow(canvas, person, shown, side);
  }
  paint_mouth(canvas, person, shown);
  if (person.glasses) paint_glasses(canvas, person);
  read_out(grey, person, scene, size, random, image);
}

}  // namespace ferrun::data
