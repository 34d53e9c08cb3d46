#include "worker/checkpoint/archive_reader.h"

#include "worker/checkpoint/file_format.h"
#include "worker/checkpoint/legacy_reader.h"
#include "worker/checkpoint/pickle_reader.h"
#include "worker/checkpoint/safetensors.h"
#include "worker/checkpoint/zip_reader.h"

namespace ferrun::checkpoint {
namespace {

// A tensor costs about 100 bytes of pickle: this is a checkpoint of half a million tensors.
constexpr uint64_t kMaxPickleBytes = uint64_t{1} << 26;

Error user_error(const std::string& what) { return {ErrorKind::kUser, what}; }

Result<std::vector<uint8_t>> read_whole(const ZipReader& records, const std::string& name) {
  std::vector<uint8_t> bytes(records.size(name));
  if (auto read = records.read(name, bytes); !read) return read.error();
  return bytes;
}

Status check_kind(const ZipReader& records) {
  if (records.has("constants.pkl")) {
    return user_error(
        "is a TorchScript archive: in Python, torch.save(torch.jit.load(FILE).state_dict(), \"weights.pt\")");
  }
  if (!records.has("data.pkl")) return user_error("is a zip file, but no PyTorch checkpoint");
  if (records.size("data.pkl") > kMaxPickleBytes) return user_error("is corrupt: its pickle is too long");
  if (records.has("byteorder")) {
    if (records.size("byteorder") > 16) return user_error("is corrupt: its byte order is unknown");
    auto order = read_whole(records, "byteorder");
    if (!order) return order.error();
    if (std::string(order->begin(), order->end()) != "little") {
      return user_error("was written on a big-endian machine, which is not supported");
    }
  }
  return ok_status();
}

class ZipStorages final : public StorageReader {
 public:
  explicit ZipStorages(ZipReader records) : records_(std::move(records)) {}
  bool has(const std::string& key) const override { return records_.has(storage_record(key)); }
  uint64_t size(const std::string& key) const override { return records_.size(storage_record(key)); }
  Status read(const std::string& key, std::span<uint8_t> into) const override {
    return records_.read(storage_record(key), into);
  }

 private:
  ZipReader records_;
};

Result<Archive> open_zip(const ByteSource& source) {
  auto records = ZipReader::open(source);
  if (!records) return records.error();
  if (auto kind = check_kind(*records); !kind) return kind.error();
  auto pickle = read_whole(*records, "data.pkl");
  if (!pickle) return pickle.error();
  auto tree = read_pickle(*pickle);
  if (!tree) return tree.error();
  return Archive{std::move(*tree), std::make_unique<ZipStorages>(std::move(*records))};
}

}  // namespace

std::string storage_record(const std::string& key) { return "data/" + key; }

Result<Archive> open_archive(const ByteSource& source) {
  const auto format = file_format(source);
  if (!format) return format.error();
  auto archive = *format == FileFormat::kLegacy        ? open_legacy(source)
                 : *format == FileFormat::kSafetensors ? open_safetensors(source)
                                                       : open_zip(source);
  if (!archive) return archive;
  std::string missing;
  for_each_tensor(archive->tree, [&](const StoredTensor& tensor) {
    const StorageReader& storages = *archive->storages;
    if (!storages.has(tensor.storage_key) || storages.size(tensor.storage_key) < tensor.storage_bytes) {
      missing = storage_record(tensor.storage_key);
    }
  });
  if (!missing.empty()) return user_error("is corrupt: its record " + missing + " is missing or too short");
  return archive;
}

}  // namespace ferrun::checkpoint
