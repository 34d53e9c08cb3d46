#include "worker/report/drawing.h"

#include <fontconfig/fontconfig.h>
#include <pango/pangocairo.h>

#include <algorithm>
#include <cmath>

#include "worker/report/unicode.h"

namespace ferrun::report {
namespace {

constexpr double kMostPixels = 16384;  // of a side; Cairo's own limit is 32767

template <typename Object>
using GObjectPointer = std::unique_ptr<Object, void (*)(void*)>;

cairo_status_t append(void* bytes, const unsigned char* data, unsigned int length) {
  auto& whole = *static_cast<std::vector<uint8_t>*>(bytes);
  whole.insert(whole.end(), data, data + length);
  return CAIRO_STATUS_SUCCESS;
}

Error drawing_failed(cairo_status_t status) {
  return {ErrorKind::kPlatform, std::string("cannot draw the picture: ") + cairo_status_to_string(status)};
}

Result<std::vector<uint8_t>> surface_png(cairo_surface_t* surface) {
  std::vector<uint8_t> bytes;
  const cairo_status_t status = cairo_surface_write_to_png_stream(surface, append, &bytes);
  if (status != CAIRO_STATUS_SUCCESS) return drawing_failed(status);
  return bytes;
}

// Pango ends the process where there is no font at all.
bool has_fonts() {
  static const bool some = [] {
    const std::unique_ptr<FcPattern, void (*)(FcPattern*)> any(FcPatternCreate(), FcPatternDestroy);
    const std::unique_ptr<FcObjectSet, void (*)(FcObjectSet*)> file(FcObjectSetBuild(FC_FILE, nullptr),
                                                                    FcObjectSetDestroy);
    const std::unique_ptr<FcFontSet, void (*)(FcFontSet*)> fonts(FcFontList(nullptr, any.get(), file.get()),
                                                                 FcFontSetDestroy);
    return fonts != nullptr && fonts->nfont > 0;
  }();
  return some;
}

GObjectPointer<PangoLayout> layout_of(cairo_t* context, const std::string& words, const TextStyle& style) {
  GObjectPointer<PangoLayout> layout(pango_cairo_create_layout(context), g_object_unref);
  const std::string valid = valid_utf8(words);
  pango_layout_set_text(layout.get(), valid.c_str(), static_cast<int>(valid.size()));
  pango_layout_set_single_paragraph_mode(layout.get(), TRUE);
  const std::unique_ptr<PangoFontDescription, void (*)(PangoFontDescription*)> font(
      pango_font_description_from_string("DejaVu Sans, Sans"), pango_font_description_free);
  pango_font_description_set_weight(font.get(), style.bold ? PANGO_WEIGHT_BOLD : PANGO_WEIGHT_NORMAL);
  pango_font_description_set_absolute_size(font.get(), style.size * PANGO_SCALE);
  pango_layout_set_font_description(layout.get(), font.get());
  int width = 0;
  pango_layout_get_size(layout.get(), &width, nullptr);
  const double most = style.max_width * PANGO_SCALE;
  if (style.max_width <= 0.0 || width <= most) return layout;
  if (style.shrink) {
    pango_font_description_set_absolute_size(font.get(), style.size * PANGO_SCALE * most / width);
    pango_layout_set_font_description(layout.get(), font.get());
  } else {
    pango_layout_set_width(layout.get(), static_cast<int>(most));
    pango_layout_set_ellipsize(layout.get(), PANGO_ELLIPSIZE_MIDDLE);
  }
  return layout;
}

}  // namespace

Drawing::Drawing(double width, double height)
    : width_(width),
      height_(height),
      surface_(cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(std::lround(width * kPixelsPerUnit)),
                                          static_cast<int>(std::lround(height * kPixelsPerUnit))),
               cairo_surface_destroy),
      context_(cairo_create(surface_.get()), cairo_destroy) {
  cairo_scale(context(), kPixelsPerUnit, kPixelsPerUnit);
  cairo_set_source_rgb(context(), 1, 1, 1);
  cairo_paint(context());
}

Result<Drawing> Drawing::make(double width, double height) {
  if (std::max(width, height) * kPixelsPerUnit > kMostPixels) {
    return Error{ErrorKind::kPlatform, "cannot draw the picture: it would be too large"};
  }
  if (!has_fonts()) {
    return Error{ErrorKind::kPlatform, "cannot draw the picture: this system has no fonts (install fonts-dejavu-core)"};
  }
  Drawing drawing(width, height);
  if (const cairo_status_t status = cairo_status(drawing.context()); status != CAIRO_STATUS_SUCCESS) {
    return drawing_failed(status);
  }
  return drawing;
}

void Drawing::set_ink(const Ink& ink, double opacity) {
  cairo_set_source_rgba(context(), ink.red, ink.green, ink.blue, opacity);
}

void Drawing::text(double x, double y, const std::string& words, const TextStyle& style, Anchor anchor) {
  const GObjectPointer<PangoLayout> layout = layout_of(context(), words, style);
  int width = 0;
  int height = 0;
  pango_layout_get_size(layout.get(), &width, &height);
  cairo_save(context());
  set_ink(style.ink);
  cairo_translate(context(), x, y);
  double along = anchor.x;
  double across = anchor.y;
  if (style.vertical) {
    cairo_rotate(context(), -M_PI / 2);
    along = 1.0 - anchor.y;
    across = anchor.x;
  }
  cairo_move_to(context(), -along * width / PANGO_SCALE, -across * height / PANGO_SCALE);
  pango_cairo_show_layout(context(), layout.get());
  cairo_restore(context());
}

double Drawing::text_width(const std::string& words, const TextStyle& style) {
  const GObjectPointer<PangoLayout> layout = layout_of(context(), words, style);
  int width = 0;
  pango_layout_get_size(layout.get(), &width, nullptr);
  return static_cast<double>(width) / PANGO_SCALE;
}

Result<std::vector<uint8_t>> Drawing::png() {
  if (const cairo_status_t status = cairo_status(context()); status != CAIRO_STATUS_SUCCESS) {
    return drawing_failed(status);
  }
  cairo_surface_flush(surface_.get());
  return surface_png(surface_.get());
}

Result<std::vector<uint8_t>> thumbnail_png(const std::vector<uint8_t>& pixels, int width, int height, int side) {
  if (width < 1 || height < 1 || side < 1 ||
      pixels.size() != size_t{3} * static_cast<size_t>(width) * static_cast<size_t>(height)) {
    return Error{ErrorKind::kInternal, "a thumbnail of pixels that are no picture"};
  }
  using Surface = std::unique_ptr<cairo_surface_t, void (*)(cairo_surface_t*)>;
  const Surface whole(cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height), cairo_surface_destroy);
  if (cairo_surface_status(whole.get()) != CAIRO_STATUS_SUCCESS) {
    return drawing_failed(cairo_surface_status(whole.get()));
  }
  cairo_surface_flush(whole.get());
  const int stride = cairo_image_surface_get_stride(whole.get());
  for (int y = 0; y < height; ++y) {
    auto* const row = reinterpret_cast<uint32_t*>(cairo_image_surface_get_data(whole.get()) + ptrdiff_t{y} * stride);
    const uint8_t* const from = pixels.data() + size_t{3} * static_cast<size_t>(y) * static_cast<size_t>(width);
    for (int x = 0; x < width; ++x) {
      row[x] = static_cast<uint32_t>(from[3 * x] << 16 | from[3 * x + 1] << 8 | from[3 * x + 2]);
    }
  }
  cairo_surface_mark_dirty(whole.get());
  const double scale = std::min(1.0, static_cast<double>(side) / std::max(width, height));
  const Surface small(
      cairo_image_surface_create(CAIRO_FORMAT_RGB24, std::max(1, static_cast<int>(std::lround(width * scale))),
                                 std::max(1, static_cast<int>(std::lround(height * scale)))),
      cairo_surface_destroy);
  const std::unique_ptr<cairo_t, void (*)(cairo_t*)> context(cairo_create(small.get()), cairo_destroy);
  cairo_scale(context.get(), scale, scale);
  cairo_set_source_surface(context.get(), whole.get(), 0, 0);
  cairo_pattern_set_filter(cairo_get_source(context.get()), CAIRO_FILTER_GOOD);
  cairo_pattern_set_extend(cairo_get_source(context.get()), CAIRO_EXTEND_PAD);
  cairo_paint(context.get());
  if (cairo_status(context.get()) != CAIRO_STATUS_SUCCESS) return drawing_failed(cairo_status(context.get()));
  return surface_png(small.get());
}

}  // namespace ferrun::report
