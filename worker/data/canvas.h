// A grey picture to draw soft-edged shapes on, in the coordinates of a face that is turned, scaled and shifted.
// Values are 0 (black) … 1 (white) and may leave that range until they are read out.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace ferrun::data {

struct Point {
  float x = 0;
  float y = 0;
};

// Where a shape sits: its own origin and turn (radians) within the face.
struct Place {
  Point at;
  float turn = 0;
};

class Canvas {
 public:
  // Face (0, 0) lies at `origin` in pixels; one face unit is `scale` pixels; the face is rolled by `roll` radians.
  Canvas(int size, Point origin, float scale, float roll, std::vector<float>& pixels)
      : size_(size), origin_(origin), scale_(scale), roll_(roll), pixels_(pixels) {}

  // Mixes `shade` over the pixels where `distance(x, y)`, in face units within `place`, is negative; an edge is one
  // pixel soft, or `softness` face units if that is more. Only the rectangle of half-size `reach` about the place is
  // visited.
  template <typename Distance>
  void draw(const Place& place, Point reach, float shade, float opacity, const Distance& distance, float softness = 0) {
    const float sharpness = 1.0f / std::max(1.0f / scale_, softness);
    fill(place, reach, [&](float x, float y, float& value) {
      const float cover = std::clamp(0.5f - distance(x, y) * sharpness, 0.0f, 1.0f) * opacity;
      value += (shade - value) * cover;
    });
  }

  void ellipse(const Place& place, Point radius, float shade, float opacity = 1, float softness = 0) {
    const float margin = softness + 1.0f / scale_;
    // Far from the edge the answer needs no root. `margin` in the units of the scaled radius, seen from the narrow
    // side.
    const float relative = margin / std::min(radius.x, radius.y);
    const float inner = relative < 1 ? (1 - relative) * (1 - relative) : 0;
    const float outer = (1 + relative) * (1 + relative);
    const Point inverse{1 / radius.x, 1 / radius.y};
    draw(
        place, {radius.x + margin, radius.y + margin}, shade, opacity,
        [&](float x, float y) {
          const float u = x * inverse.x, v = y * inverse.y;
          const float square = u * u + v * v;
          if (square < inner) return -margin;
          if (square > outer) return margin;
          return ellipse_distance(x, y, radius);
        },
        softness);
  }

  // A stroke along y = −rise × (x / half)², x in ±half: the middle lies at the place, the ends `rise` above it. Its
  // width shrinks towards the ends by `taper` (0 … 1).
  void arc(const Place& place, float half, float rise, float width, float shade, float opacity = 1, float taper = 0) {
    const float margin = width + 1.0f / scale_;
    draw(place, {half + margin, std::abs(rise) + margin}, shade, opacity, [&](float x, float y) {
      const float t = std::clamp(x / half, -1.0f, 1.0f);
      const float slope = 2.0f * rise * t / half;
      const float across = std::abs(y + rise * t * t) / std::sqrt(1.0f + slope * slope);
      const float along = std::max(0.0f, std::abs(x) - half);
      return std::max(across, along) - 0.5f * width * (1.0f - taper * t * t);
    });
  }

  // Calls fn(x, y, value) with the face-unit coordinates within `place` for every pixel of the rectangle.
  template <typename Function>
  void fill(const Place& place, Point reach, const Function& fn) {
    const float face_cos = std::cos(roll_), face_sin = std::sin(roll_);
    const Point centre{origin_.x + scale_ * (face_cos * place.at.x - face_sin * place.at.y),
                       origin_.y + scale_ * (face_sin * place.at.x + face_cos * place.at.y)};
    const float turn_cos = std::cos(roll_ + place.turn), turn_sin = std::sin(roll_ + place.turn);
    const float half_x = scale_ * (std::abs(turn_cos) * reach.x + std::abs(turn_sin) * reach.y);
    const float half_y = scale_ * (std::abs(turn_sin) * reach.x + std::abs(turn_cos) * reach.y);
    const int left = std::max(0, static_cast<int>(centre.x - half_x)),
              right = std::min(size_ - 1, static_cast<int>(centre.x + half_x));
    const int top = std::max(0, static_cast<int>(centre.y - half_y)),
              bottom = std::min(size_ - 1, static_cast<int>(centre.y + half_y));
    const float unit = 1.0f / scale_;
    for (int row = top; row <= bottom; ++row) {
      float* const line = &pixels_[static_cast<size_t>(row) * static_cast<size_t>(size_)];
      const float dy = (static_cast<float>(row) + 0.5f - centre.y) * unit;
      for (int column = left; column <= right; ++column) {
        const float dx = (static_cast<float>(column) + 0.5f - centre.x) * unit;
        fn(turn_cos * dx + turn_sin * dy, turn_cos * dy - turn_sin * dx, line[column]);
      }
    }
  }

  // First-order distance to an ellipse about the origin: exact on it, close near it.
  static float ellipse_distance(float x, float y, Point radius) {
    const float u = x / radius.x, v = y / radius.y;
    const float k0 = std::sqrt(u * u + v * v);
    const float gu = u / radius.x, gv = v / radius.y;
    const float k1 = std::sqrt(gu * gu + gv * gv);
    return k1 > 0 ? k0 * (k0 - 1.0f) / k1 : -std::min(radius.x, radius.y);
  }

 private:
  const int size_;
  const Point origin_;
  const float scale_;
  const float roll_;
  std::vector<float>& pixels_;
};

}  // namespace ferrun::data
