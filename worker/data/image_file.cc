#include "worker/data/image_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "common/foreign_file.h"
#include "common/io/unique_fd.h"
#include "worker/data/codecs.h"

namespace ferrun::data {
namespace {

// A thread keeps its file buffer up to this size; a rare huge file does not stay in memory.
constexpr size_t kKeptBytes = size_t{4} << 20;

struct Magic {
  size_t at;
  std::string_view bytes;
  const char* type;
};

// Types of picture that people give such names to.
constexpr std::array<Magic, 12> kOtherTypes = {{{0, "GIF8", "a GIF"},
                                                {0, "BM", "a BMP"},
                                                {0, std::string_view("II*\0", 4), "a TIFF"},
                                                {0, std::string_view("MM\0*", 4), "a TIFF"},
                                                {8, "WEBP", "a WebP"},
                                                {4, "ftypavif", "an AVIF"},
                                                {4, "ftyphei", "a HEIC"},
                                                {4, "ftypmif1", "a HEIC"},
                                                {4, "jP  ", "a JPEG 2000"},
                                                {0, "P5", "a PGM"},
                                                {0, "P6", "a PPM"},
                                                {0, "8BPS", "a Photoshop file"}}};

bool has_magic(std::span<const uint8_t> bytes, std::string_view magic, size_t at = 0) {
  return bytes.size() >= at + magic.size() && std::memcmp(bytes.data() + at, magic.data(), magic.size()) == 0;
}

Error unknown_type(std::span<const uint8_t> bytes) {
  for (const Magic& other : kOtherTypes) {
    if (has_magic(bytes, other.bytes, other.at))
      return bad_picture(std::string("the file is ") + other.type + "; convert it to JPEG or PNG");
  }
  const auto foreign = foreign_file({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!foreign) return bad_picture("the file is neither a JPEG nor a PNG");
  return bad_picture("the file is " + std::string(foreign->what) +
                     (foreign->remedy.empty() ? "" : "; " + std::string(foreign->remedy)));
}

// What the picture itself is to blame for is kUser (and may be skipped); what the machine is, never.
Error system_error(const char* what, int code) {
  const bool own_fault =
      code == ENOENT || code == EACCES || code == EPERM || code == ELOOP || code == ENOTDIR || code == ENAMETOOLONG;
  return Error{own_fault ? ErrorKind::kUser : ErrorKind::kPlatform, std::string(what) + ": " + std::strerror(code)};
}

Status read_file(const std::string& path, const DecodeOptions& options, std::vector<uint8_t>& bytes) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer; it means nothing for regular files.
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return system_error("cannot be opened", errno);
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0) return system_error("cannot be read", errno);
  if (S_ISDIR(facts.st_mode)) return bad_picture("is a directory, not a picture");
  if (!S_ISREG(facts.st_mode)) return bad_picture("is not a regular file");
  if (facts.st_size > options.max_file_bytes) {
    return bad_picture("the file has " + std::to_string(facts.st_size) + " bytes; at most " +
                       std::to_string(options.max_file_bytes) + " are read");
  }
  bytes.resize(static_cast<size_t>(facts.st_size));
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t count = ::read(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error("cannot be read", errno);
    if (count == 0) break;  // it shrank meanwhile: the decoder says what is missing
    filled += static_cast<size_t>(count);
  }
  bytes.resize(filled);
  return ok_status();
}

}  // namespace

Status allocate_pixels(uint32_t width, uint32_t height, int bytes_per_pixel, const DecodeOptions& options,
                       Image& image) {
  const uint64_t pixels = uint64_t{width} * height;
  const std::string size = "the picture has " + std::to_string(width) + " x " + std::to_string(height) + " pixels; ";
  if (pixels == 0) return bad_picture("the picture has no pixels");
  if (std::max(width, height) > static_cast<uint32_t>(options.max_side))
    return bad_picture(size + "a side of at most " + std::to_string(options.max_side) + " can be read");
  if (pixels > static_cast<uint64_t>(options.max_pixels))
    return bad_picture(size + "at most " + std::to_string(options.max_pixels) + " are read (--max-pixels)");
  if (options.memory != nullptr) options.memory->take(static_cast<int64_t>(pixels) * bytes_per_pixel);
  image.width = static_cast<int>(width);
  image.height = static_cast<int>(height);
  image.pixels.resize(pixels * 3);
  return ok_status();
}

Status decode_image(std::span<const uint8_t> bytes, Image& image, const DecodeOptions& options) {
  if (bytes.empty()) return bad_picture("the file is empty");
  if (has_magic(bytes, "\xff\xd8\xff")) return decode_jpeg(bytes, image, options);
  if (has_magic(bytes, "\x89PNG\r\n\x1a\n")) return decode_png(bytes, image, options);
  return unknown_type(bytes);
}

Status read_image(const std::string& path, Image& image, const DecodeOptions& options) {
  thread_local std::vector<uint8_t> bytes;
  Status status = read_file(path, options, bytes);
  if (status) status = decode_image(bytes, image, options);
  if (bytes.capacity() > kKeptBytes) std::vector<uint8_t>().swap(bytes);
  if (!status) return Error{status.error().kind, path + ": " + status.error().message};
  return status;
}

Result<Image> read_image(const std::string& path) {
  Image image;
  if (Status read = read_image(path, image); !read) return read.error();
  return image;
}

}  // namespace ferrun::data
