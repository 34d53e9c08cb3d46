// libpng behind `decode_png`. As with libjpeg, errors leave by longjmp, past functions without destructors.
#include <png.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstring>

#include "worker/data/codecs.h"

namespace ferrun::data {
namespace {

// What the rows hold after libpng's own conversions.
enum class RowForm {
  kRgb,     // 3 bytes a pixel: the final form
  kIndex,   // 1 byte a pixel: an index into the palette
  kGrey16,  // 2 bytes a pixel, big-endian
};

size_t bytes_per_pixel(RowForm form) { return form == RowForm::kRgb ? 3 : form == RowForm::kGrey16 ? 2 : 1; }

class PngDecoder {
 public:
  explicit PngDecoder(std::span<const uint8_t> bytes) : rest_(bytes) {}
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  // Reads the header and asks libpng for 8-bit RGB where its conversion is Pillow's. False after an error.
  bool open() {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    if (png_ == nullptr) return false;
    if (setjmp(escape_)) return false;
    info_ = png_create_info_struct(png_);
    if (info_ == nullptr) return false;
    png_set_read_fn(png_, this, read_bytes);
    // The caller's limits decide, and say so.
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    // Text, profiles and the like are skipped unread: Pillow's pixels do not depend on them.
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_read_info(png_, info_);
    choose_form();
    return true;
  }

  // Decodes every row to `rows`, which holds height × width × bytes_per_pixel(form()). False after an error.
  bool read(uint8_t* rows) {
    if (setjmp(escape_)) return false;
    png_read_update_info(png_, info_);
    const size_t stride = width() * bytes_per_pixel(form_);
    if (png_get_rowbytes(png_, info_) != stride) png_error(png_, "unexpected row size");
    // An interlaced picture comes in seven passes over the same rows.
    for (int pass = 0; pass < passes_; ++pass) {
      for (uint32_t y = 0; y < height(); ++y) png_read_row(png_, rows + y * stride, nullptr);
    }
    return true;
  }

  uint32_t width() const { return png_get_image_width(png_, info_); }
  uint32_t height() const { return png_get_image_height(png_, info_); }
  RowForm form() const { return form_; }

  // Colours of all 256 indices. Those beyond the file's palette are black, as in Pillow.
  std::array<std::array<uint8_t, 3>, 256> palette() const {
    std::array<std::array<uint8_t, 3>, 256> colours{};
    png_colorp entries = nullptr;
    int count = 0;
    png_get_PLTE(png_, info_, &entries, &count);
    for (int i = 0; i < std::min(count, 256); ++i)
      colours[static_cast<size_t>(i)] = {entries[i].red, entries[i].green, entries[i].blue};
    return colours;
  }

  Error error() const {
    if (cut_short_) return bad_picture("the PNG is cut short");
    return bad_picture(std::string("the PNG is damaged: ") + message_);
  }

 private:
  void choose_form() {
    const int colour = png_get_color_type(png_, info_);
    const int depth = png_get_bit_depth(png_, info_);
    passes_ = png_set_interlace_handling(png_);
    if (colour == PNG_COLOR_TYPE_PALETTE) {
      png_set_packing(png_);
      form_ = RowForm::kIndex;
    } else if (colour == PNG_COLOR_TYPE_GRAY && depth == 16) {
      form_ = RowForm::kGrey16;
    } else {
      if (depth == 16) png_set_strip_16(png_);
      if (depth < 8) png_set_expand_gray_1_2_4_to_8(png_);
      if (colour & PNG_COLOR_MASK_ALPHA) png_set_strip_alpha(png_);
      if (!(colour & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(png_);
      form_ = RowForm::kRgb;
    }
  }

  static void read_bytes(png_structp png, png_bytep to, size_t count) {
    auto* self = static_cast<PngDecoder*>(png_get_io_ptr(png));
    if (count > self->rest_.size()) {
      self->cut_short_ = true;
      png_error(png, "cut short");
    }
    std::memcpy(to, self->rest_.data(), count);
    self->rest_ = self->rest_.subspan(count);
  }

  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    auto* self = static_cast<PngDecoder*>(png_get_error_ptr(png));
    std::snprintf(self->message_, sizeof self->message_, "%s", message);
    std::longjmp(self->escape_, 1);
  }
  static void on_warning(png_structp, png_const_charp) {}

  std::span<const uint8_t> rest_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::jmp_buf escape_;
  RowForm form_ = RowForm::kRgb;
  int passes_ = 1;
  bool cut_short_ = false;
  char message_[128] = "libpng is out of memory";
};

void expand_indices(const std::vector<uint8_t>& rows, const PngDecoder& decoder, std::vector<uint8_t>& rgb) {
  const auto palette = decoder.palette();
  for (size_t i = 0; i < rows.size(); ++i) std::copy_n(palette[rows[i]].data(), 3, rgb.data() + 3 * i);
}

// Pillow cuts 16-bit grey at 255 rather than scaling it.
void expand_grey16(const std::vector<uint8_t>& rows, std::vector<uint8_t>& rgb) {
  for (size_t i = 0; i < rows.size() / 2; ++i)
    std::fill_n(rgb.data() + 3 * i, 3, rows[2 * i] != 0 ? 255 : rows[2 * i + 1]);
}

}  // namespace

Status decode_png(std::span<const uint8_t> bytes, Image& image, const DecodeOptions& options) {
  PngDecoder decoder(bytes);
  if (!decoder.open()) return decoder.error();
  const int between = decoder.form() == RowForm::kRgb ? 0 : static_cast<int>(bytes_per_pixel(decoder.form()));
  if (Status allocated = allocate_pixels(decoder.width(), decoder.height(), 3 + between, options, image); !allocated)
    return allocated;
  if (decoder.form() == RowForm::kRgb) {
    if (!decoder.read(image.pixels.data())) return decoder.error();
    return ok_status();
  }
  std::vector<uint8_t> rows(size_t{decoder.width()} * decoder.height() * bytes_per_pixel(decoder.form()));
  if (!decoder.read(rows.data())) return decoder.error();
  if (decoder.form() == RowForm::kIndex) {
    expand_indices(rows, decoder, image.pixels);
  } else {
    expand_grey16(rows, image.pixels);
  }
  return ok_status();
}

}  // namespace ferrun::data
