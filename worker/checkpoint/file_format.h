// Which of the formats a checkpoint's file has; of a file that has none what it is, and how to get a checkpoint from
// it. Free of LibTorch.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "common/result.h"
#include "worker/checkpoint/byte_source.h"

namespace ferrun::checkpoint {

// How every file of torch.save before 1.6 begins: protocol 2 and the long 0x1950a86a20f9469cfc6c.
inline constexpr std::array<uint8_t, 14> kLegacyMagic{0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c,
                                                      0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

enum class FileFormat {
  kLegacy,       // torch.save before 1.6, or with _use_new_zipfile_serialization=False
  kSafetensors,  // told by its header's length and first character
  kOther,        // a zip archive, or no checkpoint
};
// Failure: the file cannot be read.
Result<FileFormat> file_format(const ByteSource& source);

// Why a file that is no zip archive holds no weights, from its first bytes: a Git LFS pointer, a web page, an HDF5
// file, … One line without the file's name, with the remedy where there is one.
Error describe_foreign_file(const ByteSource& source);

// The same for a folder, from the names in it: a distributed checkpoint, a run's output directory.
Error describe_folder(const std::string& path);

}  // namespace ferrun::checkpoint
