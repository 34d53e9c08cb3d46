#include "worker/checkpoint/archive_writer.h"

#include <string_view>
#include <utility>

#include "worker/checkpoint/archive_reader.h"
#include "worker/checkpoint/pickle_writer.h"
#include "worker/checkpoint/zip_writer.h"

namespace ferrun::checkpoint {
namespace {

// The name that torch.save gives to archives without a file name: the same for every file, so that a copy under another
// name has the same bytes as a save.
constexpr const char* kRoot = "archive";

std::span<const uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

Status write_archive(ByteSink& sink, const StoredTree& tree, const std::vector<std::span<const uint8_t>>& storages) {
  auto pickle = write_pickle(tree);
  if (!pickle) return pickle.error();
  ZipWriter zip(sink, kRoot);
  using NamedText = std::pair<std::string_view, std::string_view>;
  for (const auto& [name, text] : {NamedText{"data.pkl", *pickle},
                                   {".format_version", "1"},
                                   {".storage_alignment", "64"},
                                   {"byteorder", "little"}}) {
    if (auto wrote = zip.add(std::string(name), as_bytes(text)); !wrote) return wrote;
  }
  for (size_t i = 0; i < storages.size(); ++i) {
    if (auto wrote = zip.add(storage_record(std::to_string(i)), storages[i]); !wrote) return wrote;
  }
  if (auto wrote = zip.add("version", as_bytes("3\n")); !wrote) return wrote;
  return zip.finish();
}

}  // namespace ferrun::checkpoint
