#include "worker/checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "worker/checkpoint/zip_format.h"

namespace ferrun::checkpoint {
namespace {

using nlohmann::json;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit
constexpr const char* kMetadata = "__metadata__";

constexpr std::pair<std::string_view, ElementType> kDtypes[] = {
    {"F64", ElementType::kFloat64},        {"F32", ElementType::kFloat32},   {"F16", ElementType::kFloat16},
    {"BF16", ElementType::kBFloat16},      {"I64", ElementType::kInt64},     {"I32", ElementType::kInt32},
    {"I16", ElementType::kInt16},          {"I8", ElementType::kInt8},       {"U8", ElementType::kUInt8},
    {"BOOL", ElementType::kBool},          {"C64", ElementType::kComplex64}, {"U16", ElementType::kUInt16},
    {"U32", ElementType::kUInt32},         {"U64", ElementType::kUInt64},    {"F8_E4M3", ElementType::kFloat8E4M3},
    {"F8_E5M2", ElementType::kFloat8E5M2},
};

Error corrupt_header(const std::string& what) { return {ErrorKind::kUser, "is a corrupt safetensors file: " + what}; }

std::optional<std::vector<int64_t>> whole_numbers(const json& entry, const char* key) {
  const auto found = entry.find(key);
  if (found == entry.end() || !found->is_array() || found->size() > kMaxDimensions) return std::nullopt;
  std::vector<int64_t> numbers;
  for (const json& number : *found) {
    if (!number.is_number_unsigned() || number.get<uint64_t>() > uint64_t{1} << 62) return std::nullopt;
    numbers.push_back(static_cast<int64_t>(number.get<uint64_t>()));
  }
  return numbers;
}

// Row-major strides. The product of the sizes is checked by check_layout before anybody uses them.
std::vector<int64_t> contiguous_strides(const std::vector<int64_t>& sizes) {
  std::vector<int64_t> strides(sizes.size(), 1);
  for (size_t i = sizes.size(); i-- > 1;) {
    if (__builtin_mul_overflow(strides[i], std::max<int64_t>(sizes[i], 1), &strides[i - 1])) strides[i - 1] = -1;
  }
  return strides;
}

struct Placed {
  StoredTensor tensor;
  RangeStorages::Range range;
};

Result<Placed> read_entry(const std::string& name, const json& entry, uint64_t begin, uint64_t file_bytes) {
  const auto wrong = [&](const std::string& what) { return corrupt_header("'" + name + "' " + what); };
  const auto dtype = entry.is_object() ? entry.find("dtype") : entry.end();
  if (!entry.is_object() || dtype == entry.end() || !dtype->is_string()) return wrong("has no dtype");
  const auto type = std::find_if(std::begin(kDtypes), std::end(kDtypes), [&](const auto& known) {
    return known.first == dtype->get_ref<const std::string&>();
  });
  if (type == std::end(kDtypes)) {
    return Error{ErrorKind::kUser, "holds '" + name + "' of the type " + dtype->get<std::string>().substr(0, 32) +
                                       ", which is not supported"};
  }
  auto sizes = whole_numbers(entry, "shape");
  auto offsets = whole_numbers(entry, "data_offsets");
  if (!sizes || !offsets || offsets->size() != 2) return wrong("has no shape or no place");
  const auto first = static_cast<uint64_t>((*offsets)[0]), last = static_cast<uint64_t>((*offsets)[1]);
  if (first > last || last > file_bytes - begin)
    return wrong("lies outside the file; copy it again if it is truncated");
  std::vector<int64_t> strides = contiguous_strides(*sizes);
  Placed placed{{type->second, name, last - first, 0, std::move(*sizes), std::move(strides)},
                {begin + first, last - first}};
  if (std::string layout = check_layout(placed.tensor); !layout.empty()) return wrong("does not fit: " + layout);
  return placed;
}

Result<json> read_header(const ByteSource& source, uint64_t& end) {
  std::array<uint8_t, kLengthBytes> prefix{};
  if (auto got = source.read_at(0, prefix); !got) return got.error();
  const uint64_t length = zip::get<kLengthBytes>(prefix, 0);
  if (length > kMaxHeaderBytes) return corrupt_header("its header is too long");
  if (length > source.size() - kLengthBytes) return corrupt_header("it ends within its header; copy it again");
  std::vector<uint8_t> text(length);
  if (auto got = source.read_at(kLengthBytes, text); !got) return got.error();
  json header = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) return corrupt_header("its header is no JSON object");
  end = kLengthBytes + length;
  return header;
}

}  // namespace

Result<Archive> open_safetensors(const ByteSource& source) {
  uint64_t begin = 0;
  const auto header = read_header(source, begin);
  if (!header) return header.error();
  StoredTree::Dict tensors, metadata;
  std::map<std::string, RangeStorages::Range> ranges;
  for (const auto& [name, entry] : header->items()) {
    if (name == kMetadata) {
      if (!entry.is_object()) return corrupt_header("its metadata is no object");
      for (const auto& [key, text] : entry.items()) {
        if (text.is_string()) metadata.emplace_back(key, text.template get<std::string>());
      }
      continue;
    }
    auto placed = read_entry(name, entry, begin, source.size());
    if (!placed) return placed.error();
    ranges.emplace(name, placed->range);
    tensors.emplace_back(name, std::move(placed->tensor));
  }
  StoredTree::Dict tree{{"state_dict", std::move(tensors)}, {"metadata", std::move(metadata)}};
  return Archive{std::move(tree), std::make_unique<RangeStorages>(source, std::move(ranges))};
}

Status write_safetensors(ByteSink& sink, std::vector<NamedStorage> tensors,
                         const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const NamedStorage& a, const NamedStorage& b) {
    const size_t wide_a = element_info(a.tensor.type).bytes, wide_b = element_info(b.tensor.type).bytes;
    return wide_a != wide_b ? wide_a > wide_b : a.name < b.name;
  });
  nlohmann::ordered_json header;
  if (!metadata.empty()) header[kMetadata] = metadata;
  uint64_t offset = 0;
  for (const NamedStorage& entry : tensors) {
    const auto dtype = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                    [&](const auto& known) { return known.second == entry.tensor.type; });
    if (dtype == std::end(kDtypes)) {
      return Error{ErrorKind::kUser, "safetensors has no type for '" + entry.name + "' (" +
                                         std::string(element_info(entry.tensor.type).dtype) + ")"};
    }
    header[entry.name] = {{"dtype", dtype->first},
                          {"shape", entry.tensor.sizes},
                          {"data_offsets", {offset, offset + entry.bytes.size()}}};
    offset += entry.bytes.size();
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const json::type_error&) {
    return Error{ErrorKind::kUser, "safetensors needs names in UTF-8"};
  }
  text.append((kLengthBytes - text.size() % kLengthBytes) % kLengthBytes, ' ');
  std::string begin;
  zip::put<kLengthBytes>(begin, text.size());
  begin += text;
  if (auto wrote = sink.write({reinterpret_cast<const uint8_t*>(begin.data()), begin.size()}); !wrote) return wrote;
  for (const NamedStorage& entry : tensors) {
    if (auto wrote = sink.write(entry.bytes); !wrote) return wrote;
  }
  return ok_status();
}

}  // namespace ferrun::checkpoint
