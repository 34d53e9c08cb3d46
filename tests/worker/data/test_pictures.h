// Small helpers of the data tests: folders of their own, files, and pictures made without any library.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/temporary_directory.h"
#include "worker/data/image_file.h"

namespace ferrun::data {

class TestFolder {
 public:
  std::string path(const std::string& name = "") const {
    return name.empty() ? directory_.path().string() : directory_.file(name);
  }

  // Writes a file, making the folders above it.
  std::string write(const std::string& name, const std::vector<uint8_t>& bytes) const {
    const std::filesystem::path whole = path(name);
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream file(whole, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return whole;
  }
  std::string make_folder(const std::string& name) const {
    std::filesystem::create_directories(path(name));
    return path(name);
  }

 private:
  const testing::TemporaryDirectory directory_;
};

// A smooth picture; `shade` tells several apart.
inline Image test_picture(int width, int height, int shade = 0) {
  Image image{width, height, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) image.pixels.push_back(static_cast<uint8_t>((shade + 3 * x + 2 * y + 40 * c) % 256));
    }
  }
  return image;
}

inline std::vector<uint8_t> test_jpeg(int width, int height, int shade = 0) {
  return encode_jpeg(test_picture(width, height, shade), 90).value();
}

// An 8-bit RGB PNG in stored (uncompressed) deflate blocks, made without libpng. Up to 64 kB of rows.
inline std::vector<uint8_t> test_png(const Image& image) {
  const auto put32 = [](std::vector<uint8_t>& to, uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) to.push_back(static_cast<uint8_t>(value >> shift));
  };
  const auto crc32 = [](const std::vector<uint8_t>& bytes) {
    uint32_t crc = ~uint32_t{0};
    for (const uint8_t byte : bytes) {
      crc ^= byte;
      for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
    }
    return ~crc;
  };
  std::vector<uint8_t> png = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  const auto chunk = [&](const char* kind, const std::vector<uint8_t>& data) {
    put32(png, static_cast<uint32_t>(data.size()));
    std::vector<uint8_t> body(kind, kind + 4);
    body.insert(body.end(), data.begin(), data.end());
    png.insert(png.end(), body.begin(), body.end());
    put32(png, crc32(body));
  };
  std::vector<uint8_t> header;
  put32(header, static_cast<uint32_t>(image.width));
  put32(header, static_cast<uint32_t>(image.height));
  header.insert(header.end(), {8, 2, 0, 0, 0});
  chunk("IHDR", header);
  std::vector<uint8_t> rows;
  const auto stride = static_cast<ptrdiff_t>(image.width) * 3;
  for (int y = 0; y < image.height; ++y) {
    rows.push_back(0);
    rows.insert(rows.end(), image.pixels.begin() + y * stride, image.pixels.begin() + (y + 1) * stride);
  }
  uint32_t a = 1, b = 0;
  for (const uint8_t byte : rows) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  const auto length = static_cast<uint16_t>(rows.size());
  std::vector<uint8_t> data = {0x78,
                               0x01,
                               0x01,
                               static_cast<uint8_t>(length),
                               static_cast<uint8_t>(length >> 8),
                               static_cast<uint8_t>(~length),
                               static_cast<uint8_t>(~length >> 8)};
  data.insert(data.end(), rows.begin(), rows.end());
  put32(data, b << 16 | a);
  chunk("IDAT", data);
  chunk("IEND", {});
  return png;
}

}  // namespace ferrun::data
