// The checkpoint reader on arbitrary bytes: whole files (zip archives, which begin with "PK", the legacy format,
// safetensors) and bare pickles, because an archive's checksums would keep mutations of its pickle out. Whatever comes,
// reading ends with a checked tree or with a one-line reason; a tree that can be written comes back as the same bytes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "worker/checkpoint/archive_reader.h"
#include "worker/checkpoint/file_format.h"
#include "worker/checkpoint/pickle_reader.h"
#include "worker/checkpoint/pickle_writer.h"

namespace {

using namespace ferrun::checkpoint;

void require(bool condition) {
  if (!condition) std::abort();
}

void require_one_line(const ferrun::Error& error) {
  require(!error.message.empty());
  require(error.message.size() < 4096);
}

std::span<const uint8_t> as_bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

void fuzz_archive(std::span<const uint8_t> bytes) {
  const MemorySource source(bytes);
  auto archive = open_archive(source);
  if (!archive) return require_one_line(archive.error());
  for_each_tensor(archive->tree, [&](const StoredTensor& tensor) {
    require(check_layout(tensor).empty());
    require(archive->storages->size(tensor.storage_key) <= bytes.size());
    std::vector<uint8_t> storage(archive->storages->size(tensor.storage_key));
    if (auto read = archive->storages->read(tensor.storage_key, storage); !read) require_one_line(read.error());
  });
}

void fuzz_pickle(std::span<const uint8_t> bytes) {
  auto tree = read_pickle(bytes);
  if (!tree) return require_one_line(tree.error());
  for_each_tensor(*tree, [](const StoredTensor& tensor) { require(check_layout(tensor).empty()); });
  auto written = write_pickle(*tree);
  if (!written) return;  // it holds objects of foreign classes
  auto again = read_pickle(as_bytes(*written));
  require(again.ok());
  require(*write_pickle(*again) == *written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> bytes(data, size);
  const MemorySource source(bytes);
  const auto kind = file_format(source);
  require(kind.ok());
  if (*kind != FileFormat::kOther || (size >= 2 && data[0] == 'P' && data[1] == 'K')) {
    fuzz_archive(bytes);
  } else {
    fuzz_pickle(bytes);
  }
  return 0;
}
