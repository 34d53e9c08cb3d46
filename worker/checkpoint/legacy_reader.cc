#include "worker/checkpoint/legacy_reader.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "worker/checkpoint/pickle_reader.h"
#include "worker/checkpoint/zip_format.h"

namespace ferrun::checkpoint {
namespace {

// As for zip archives: a checkpoint of half a million tensors.
constexpr uint64_t kMaxPicklesBytes = uint64_t{1} << 26;

Error corrupt_legacy(const std::string& what) { return {ErrorKind::kUser, "is corrupt: " + what}; }

// The file's pickles, taken one after the other.
class Pickles {
 public:
  static Result<Pickles> open(const ByteSource& source) {
    Pickles pickles;
    pickles.bytes_.resize(static_cast<size_t>(std::min(source.size(), kMaxPicklesBytes)));
    if (auto got = source.read_at(0, pickles.bytes_); !got) return got.error();
    return pickles;
  }

  Result<FirstPickle> next() {
    auto read = read_first_pickle(std::span<const uint8_t>(bytes_).subspan(position_));
    if (read) position_ += read->bytes;
    return read;
  }
  uint64_t position() const { return position_; }

 private:
  std::vector<uint8_t> bytes_;
  size_t position_ = 0;
};

// Where each storage lies: behind its number of elements, in the order of the list of keys.
Result<std::map<std::string, RangeStorages::Range>> find_storages(const ByteSource& source, const StoredTree& keys,
                                                                  const std::map<std::string, uint64_t>& element_bytes,
                                                                  uint64_t position) {
  const auto* list = keys.get<StoredTree::List>();
  if (list == nullptr) return corrupt_legacy("it has no list of storages");
  std::map<std::string, RangeStorages::Range> ranges;
  for (const StoredTree& entry : *list) {
    const auto* key = entry.get<std::string>();
    const auto known = key == nullptr ? element_bytes.end() : element_bytes.find(*key);
    if (known == element_bytes.end()) return corrupt_legacy("it lists a storage that nothing refers to");
    std::array<uint8_t, 8> length{};
    if (source.size() - position < length.size()) return corrupt_legacy("it is truncated; copy it again");
    if (auto got = source.read_at(position, length); !got) return got.error();
    position += length.size();
    uint64_t bytes = 0;
    if (__builtin_mul_overflow(zip::get<8>(length, 0), known->second, &bytes) || bytes > source.size() - position) {
      return corrupt_legacy("it is truncated; copy it again");
    }
    if (!ranges.emplace(*key, RangeStorages::Range{position, bytes}).second)
      return corrupt_legacy("a storage is there twice");
    position += bytes;
  }
  return ranges;
}

}  // namespace

Result<Archive> open_legacy(const ByteSource& source) {
  auto pickles = Pickles::open(source);
  if (!pickles) return pickles.error();
  auto magic = pickles->next();
  if (!magic) return magic.error();
  auto version = pickles->next();
  if (!version) return version.error();
  auto system = pickles->next();
  if (!system) return system.error();
  const StoredTree* order = system->tree.find("little_endian");
  if (order == nullptr || order->get<bool>() == nullptr) return corrupt_legacy("its byte order is unknown");
  if (!*order->get<bool>()) {
    return Error{ErrorKind::kUser, "was written on a big-endian machine, which is not supported"};
  }
  auto object = pickles->next();
  if (!object) return object.error();
  auto keys = pickles->next();
  if (!keys) return keys.error();
  auto ranges = find_storages(source, keys->tree, object->element_bytes, pickles->position());
  if (!ranges) return ranges.error();
  return Archive{std::move(object->tree), std::make_unique<RangeStorages>(source, std::move(*ranges))};
}

}  // namespace ferrun::checkpoint
