// A picture to draw on with Cairo, its texts laid out by Pango: class names come in any script, so they need the
// fallback from font to font and the shaping that Cairo's own text calls lack. For the plots alone.
#pragma once

#include <cairo.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/result.h"

namespace ferrun::report {

struct Ink {
  double red = 0.0;  // of 1
  double green = 0.0;
  double blue = 0.0;
  bool operator==(const Ink&) const = default;
};

constexpr Ink kTextInk{0.15, 0.15, 0.15};
constexpr Ink kGridInk{0.87, 0.87, 0.87};

struct TextStyle {
  double size = 13.0;  // of the font, in units of the drawing
  bool bold = false;
  Ink ink = kTextInk;
  double max_width = 0.0;  // longer texts are shortened with an ellipsis, or as `shrink` says; 0: no limit
  bool shrink = false;     // set smaller instead of shortened
  bool vertical = false;   // read from bottom to top
};

// Which point of a text's box lies where the text is put: 0 left (top), 0.5 middle, 1 right (bottom).
struct Anchor {
  double x = 0.0;
  double y = 0.5;
};

// White at first. Lengths are in units of a 72nd of an inch as it were; a unit is kPixelsPerUnit pixels wide.
// One thread at a time, and not before a fork: Pango looks for fonts on threads of its own.
class Drawing {
 public:
  static constexpr double kPixelsPerUnit = 1.5;

  // Failure (kPlatform): no memory, no font in the system, or more pixels than a picture may have.
  static Result<Drawing> make(double width, double height);

  double width() const { return width_; }
  double height() const { return height_; }
  // For lines and fills; valid as long as the drawing.
  cairo_t* context() { return context_.get(); }
  void set_ink(const Ink& ink, double opacity = 1.0);

  void text(double x, double y, const std::string& words, const TextStyle& style, Anchor anchor = {});
  // Its width in units, drawn with `style` (its height for vertical text).
  double text_width(const std::string& words, const TextStyle& style);

  // The file's bytes.
  Result<std::vector<uint8_t>> png();

 private:
  Drawing(double width, double height);

  double width_;
  double height_;
  std::unique_ptr<cairo_surface_t, void (*)(cairo_surface_t*)> surface_;
  std::unique_ptr<cairo_t, void (*)(cairo_t*)> context_;
};

// A picture of RGB bytes as a PNG of at most `side` pixels each way, for test.json. `pixels` holds height × width × 3
// values. Failure: a size that does not fit the pixels, or no memory.
Result<std::vector<uint8_t>> thumbnail_png(const std::vector<uint8_t>& pixels, int width, int height, int side);

}  // namespace ferrun::report
