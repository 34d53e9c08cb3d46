#include "worker/checkpoint/file_format.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <vector>

#include "common/foreign_file.h"
#include "worker/checkpoint/checkpoint_folder.h"
#include "worker/checkpoint/zip_format.h"

namespace ferrun::checkpoint {
namespace {

using namespace std::string_view_literals;

constexpr size_t kHeadBytes = 512;

Error foreign(const std::string& what) { return {ErrorKind::kUser, what}; }

Result<std::string> read_head(const ByteSource& source) {
  std::string head(static_cast<size_t>(std::min<uint64_t>(source.size(), kHeadBytes)), '\0');
  const std::span<uint8_t> into(reinterpret_cast<uint8_t*>(head.data()), head.size());
  if (auto got = source.read_at(0, into); !got) return got.error();
  return head;
}

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

struct Magic {
  std::string_view begin;
  std::string_view what;
};
// What only here is foreign, or is told in other words.
constexpr Magic kMagics[] = {
    {"\x89HDF\r\n\x1a\n"sv, "is an HDF5 file, as Keras writes them, not PyTorch's: save the weights with torch.save"},
    {"PK\x03\x04"sv, "is truncated: it begins as a PyTorch checkpoint, but its end is missing; copy it again"},
    {"\x89PNG"sv, "is a picture, not a checkpoint"},
    {"\xff\xd8\xff"sv, "is a picture, not a checkpoint"},
    {"\x93NUMPY"sv, "is a NumPy array, not a checkpoint: torch.save a dict of tensors"},
    {"GGUF"sv, "is a GGUF file, not PyTorch's: save the weights with torch.save"},
};

// A protobuf ModelProto has no magic number: its first field is ir_version, then come the producer's name or the graph.
bool is_onnx(std::string_view head) {
  if (head.size() < 4 || head[0] != 0x08 || head[1] < 1 || head[1] > 32) return false;
  const auto field = static_cast<unsigned char>(head[2]);
  if (field == 0x3a) return true;
  const auto length = static_cast<size_t>(static_cast<unsigned char>(head[3]));
  return field == 0x12 && length + 4 <= head.size() &&
         std::all_of(head.begin() + 4, head.begin() + 4 + static_cast<std::ptrdiff_t>(length),
                     [](unsigned char c) { return std::isprint(c) != 0; });
}

bool is_text(std::string_view head) {
  return std::all_of(head.begin(), head.end(),
                     [](unsigned char c) { return c >= 0x20 || c == '\n' || c == '\r' || c == '\t'; });
}

// The first printable characters of a text, for the message.
std::string beginning(std::string_view head) {
  constexpr size_t kLength = 32;
  std::string text;
  for (unsigned char c : head.substr(0, kLength)) text += c >= 0x20 && c < 0x7f ? static_cast<char>(c) : ' ';
  return text + (head.size() > kLength ? "…" : "");
}

}  // namespace

Result<FileFormat> file_format(const ByteSource& source) {
  const auto head = read_head(source);
  if (!head) return head.error();
  if (head->starts_with(std::string_view(reinterpret_cast<const char*>(kLegacyMagic.data()), kLegacyMagic.size()))) {
    return FileFormat::kLegacy;
  }
  constexpr size_t kLengthBytes = 8;
  if (head->size() > kLengthBytes && (*head)[kLengthBytes] == '{' &&
      zip::get<kLengthBytes>(bytes_of(*head), 0) < (uint64_t{1} << 40)) {
    return FileFormat::kSafetensors;
  }
  return FileFormat::kOther;
}

Error describe_foreign_file(const ByteSource& source) {
  if (source.size() == 0) return foreign("is empty");
  const auto head = read_head(source);
  if (!head) return head.error();
  for (const Magic& magic : kMagics) {
    if (head->starts_with(magic.begin)) return foreign(std::string(magic.what));
  }
  if (const auto file = foreign_file(*head)) {
    return foreign("is " + std::string(file->what) + (file->remedy.empty() ? "" : ": " + std::string(file->remedy)));
  }
  if (head->size() > 262 && std::string_view(*head).substr(257, 5) == "ustar") {
    return foreign("is a tar archive: unpack it first, or torch.load and torch.save it again");
  }
  if (is_onnx(*head)) {
    return foreign("is an ONNX file: export the weights from PyTorch, torch.save(model.state_dict(), \"weights.pt\")");
  }
  const auto first = static_cast<unsigned char>((*head)[0]);
  if (first == 0x80 && head->size() > 1 && (*head)[1] >= 2 && (*head)[1] <= 5) {
    return foreign(
        "is a pickle of its own, not a file of torch.save: in Python, torch.save(pickle.load(open(…, \"rb\")), \"weights.pt\")");
  }
  if (is_text(*head)) return foreign("is a text file, not a checkpoint (it begins '" + beginning(*head) + "')");
  return foreign("is no PyTorch checkpoint");
}

Error describe_folder(const std::string& path) {
  std::error_code ignored;
  const std::filesystem::path folder(path);
  if (std::filesystem::exists(folder / ".metadata", ignored)) {
    return foreign(
        "is a folder of torch.distributed.checkpoint: 'python -m torch.distributed.checkpoint.format_utils "
        "dcp_to_torch " +
        path + " weights.pt' makes one file of it");
  }
  for (const char* name : {"best_model.pt", "last_model.pt"}) {
    if (std::filesystem::exists(folder / name, ignored)) {
      return foreign("is a folder: name the file, " + (folder / name).string());
    }
  }
  if (const std::optional<std::string> latest = latest_checkpoint(path)) {
    return foreign("is a folder of checkpoints: name the file, the latest is " + *latest);
  }
  return foreign("is a folder, not a file");
}

}  // namespace ferrun::checkpoint
