// libjpeg-turbo behind `decode_jpeg` and `encode_jpeg`.
//
// libjpeg reports errors by a callback that must not return, here by longjmp. Functions that call setjmp hold no object
// with a destructor: everything that needs one lives in the caller.
#include <csetjmp>
#include <cstdlib>
#include <cstring>

// In this order: jpeglib.h needs <cstdio> before it, and jerror.h needs jpeglib.h.
// clang-format off
#include <cstdio>
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include "worker/data/codecs.h"
#include "worker/data/orientation.h"
#include "worker/data/picture_ops.h"

namespace ferrun::data {
namespace {

// A progressive file may repeat tiny scans over huge pictures; no encoder writes nearly as many.
constexpr int kMaxScans = 500;

struct ErrorTrap {
  jpeg_error_mgr manager;  // first: libjpeg hands back a pointer to it
  std::jmp_buf escape;
  bool cut_short;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void leave(j_common_ptr info) {
  auto* trap = reinterpret_cast<ErrorTrap*>(info->err);
  trap->manager.format_message(info, trap->message);
  std::longjmp(trap->escape, 1);
}

// Warnings after which pixels are missing or wrong. The others (stray bytes between markers, an odd JFIF version)
// leave the picture whole, and Pillow accepts them.
bool loses_pixels(int code) {
  switch (code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_NOT_SEQUENTIAL: return true;
    default: return false;
  }
}

void on_message(j_common_ptr info, int level) {
  if (level >= 0 || !loses_pixels(info->err->msg_code)) return;
  auto* trap = reinterpret_cast<ErrorTrap*>(info->err);
  trap->cut_short = info->err->msg_code == JWRN_JPEG_EOF;
  leave(info);
}

void set_trap(ErrorTrap& trap) {
  jpeg_std_error(&trap.manager);
  trap.manager.error_exit = leave;
  trap.manager.emit_message = on_message;
  trap.cut_short = false;
  trap.message[0] = '\0';
}

void check_scans(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMaxScans) return;
  auto* trap = reinterpret_cast<ErrorTrap*>(info->err);
  std::snprintf(trap->message, sizeof trap->message, "more than %d scans", kMaxScans);
  std::longjmp(trap->escape, 1);
}

// One picture's decoder; its destructor gives back what libjpeg holds however the decoding ended.
class JpegDecoder {
 public:
  JpegDecoder() {
    set_trap(trap_);
    info_.err = &trap_.manager;
    progress_ = {};
    progress_.progress_monitor = check_scans;
  }
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  // Reads the header and chooses the output's colours. False after an error.
  bool open(const uint8_t* bytes, size_t size, bool keep_metadata) {
    if (setjmp(trap_.escape)) return false;
    jpeg_create_decompress(&info_);
    info_.progress = &progress_;
    if (keep_metadata) jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xffff);
    jpeg_mem_src(&info_, bytes, size);
    jpeg_read_header(&info_, TRUE);
    info_.out_color_space = components() == 4 ? JCS_CMYK : JCS_RGB;
    return true;
  }

  // Decodes every row to `rows`, `stride` bytes apart. False after an error.
  bool read(uint8_t* rows, size_t stride) {
    if (setjmp(trap_.escape)) return false;
    jpeg_start_decompress(&info_);
    while (info_.output_scanline < info_.output_height) {
      JSAMPROW row = rows + info_.output_scanline * stride;
      jpeg_read_scanlines(&info_, &row, 1);
    }
    jpeg_finish_decompress(&info_);
    return true;
  }

  uint32_t width() const { return info_.image_width; }
  uint32_t height() const { return info_.image_height; }
  int components() const { return info_.num_components; }
  // A picture in several scans is held whole, as coefficients of two bytes, before its first row comes out.
  int coefficient_bytes() { return jpeg_has_multiple_scans(&info_) ? 2 * components() : 0; }
  // The APP1 segments, if they were kept: EXIF and XMP, in the file's order. They live as long as the decoder.
  std::vector<std::span<const uint8_t>> metadata() const {
    std::vector<std::span<const uint8_t>> segments;
    for (const jpeg_marker_struct* marker = info_.marker_list; marker != nullptr; marker = marker->next)
      segments.emplace_back(marker->data, marker->data_length);
    return segments;
  }

  Error error() const {
    if (trap_.cut_short) return bad_picture("the JPEG is cut short");
    return bad_picture(std::string("the JPEG is damaged: ") + trap_.message);
  }

 private:
  jpeg_decompress_struct info_{};
  jpeg_progress_mgr progress_;
  ErrorTrap trap_;
};

// a × b / 255, rounded, as Pillow computes it.
inline int scale_255(int a, int b) {
  const int product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

// Four-colour files hold Adobe's inverted inks, so 255 means no ink. Pillow takes every such file for one of those.
void cmyk_to_rgb(const std::vector<uint8_t>& inks, std::vector<uint8_t>& rgb) {
  for (size_t from = 0, to = 0; from < inks.size(); from += 4, to += 3) {
    const int no_black = inks[from + 3];
    for (size_t colour = 0; colour < 3; ++colour) {
      const int ink = 255 - inks[from + colour];
      rgb[to + colour] = static_cast<uint8_t>(no_black - scale_255(ink, no_black));
    }
  }
}

}  // namespace

Status decode_jpeg(std::span<const uint8_t> bytes, Image& image, const DecodeOptions& options) {
  JpegDecoder decoder;
  if (!decoder.open(bytes.data(), bytes.size(), options.exif_orientation)) return decoder.error();
  const int components = decoder.components();
  if (components != 1 && components != 3 && components != 4) {
    return bad_picture("the JPEG has " + std::to_string(components) + " colour components; 1, 3 or 4 can be read");
  }
  const auto turned = options.exif_orientation ? transposition_of(jpeg_orientation(decoder.metadata())) : std::nullopt;
  const int bytes_per_pixel = 3 + (components == 4 ? 4 : 0) + decoder.coefficient_bytes() + (turned ? 3 : 0);
  if (Status allocated = allocate_pixels(decoder.width(), decoder.height(), bytes_per_pixel, options, image);
      !allocated)
    return allocated;
  const size_t width = decoder.width();
  if (components != 4) {
    if (!decoder.read(image.pixels.data(), width * 3)) return decoder.error();
  } else {
    std::vector<uint8_t> inks(width * decoder.height() * 4);
    if (!decoder.read(inks.data(), width * 4)) return decoder.error();
    cmyk_to_rgb(inks, image.pixels);
  }
  if (turned) image = transpose(image, *turned);
  return ok_status();
}

namespace {

class Encoder {
 public:
  Encoder() {
    set_trap(trap_);
    info_.err = &trap_.manager;
  }
  ~Encoder() {
    jpeg_destroy_compress(&info_);
    std::free(bytes_);
  }
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  bool write(const Image& image, int quality) {
    if (setjmp(trap_.escape)) return false;
    jpeg_create_compress(&info_);
    jpeg_mem_dest(&info_, &bytes_, &size_);
    info_.image_width = static_cast<JDIMENSION>(image.width);
    info_.image_height = static_cast<JDIMENSION>(image.height);
    info_.input_components = 3;
    info_.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info_);
    jpeg_set_quality(&info_, quality, TRUE);
    jpeg_start_compress(&info_, TRUE);
    const size_t stride = static_cast<size_t>(image.width) * 3;
    while (info_.next_scanline < info_.image_height) {
      // libjpeg's interface is older than const; it only reads the row.
      JSAMPROW row = const_cast<JSAMPROW>(image.pixels.data() + info_.next_scanline * stride);
      jpeg_write_scanlines(&info_, &row, 1);
    }
    jpeg_finish_compress(&info_);
    return true;
  }

  std::vector<uint8_t> bytes() const { return {bytes_, bytes_ + size_}; }
  const char* message() const { return trap_.message; }

 private:
  jpeg_compress_struct info_{};
  ErrorTrap trap_;
  unsigned char* bytes_ = nullptr;
  unsigned long size_ = 0;  // NOLINT: libjpeg's type
};

}  // namespace

Result<std::vector<uint8_t>> encode_jpeg(const Image& image, int quality) {
  Encoder encoder;
  if (!encoder.write(image, quality)) {
    return Error{ErrorKind::kInternal, std::string("cannot write a JPEG: ") + encoder.message()};
  }
  return encoder.bytes();
}

}  // namespace ferrun::data
