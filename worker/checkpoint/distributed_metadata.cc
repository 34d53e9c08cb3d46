#include "worker/checkpoint/distributed_metadata.h"

#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "worker/checkpoint/pickle_emitter.h"
#include "worker/checkpoint/pickle_reader.h"

namespace ferrun::checkpoint {
namespace {

using Dict = StoredTree::Dict;
using List = StoredTree::List;
using Tuple = StoredTree::Tuple;

constexpr std::string_view kTensorClass = "torch.distributed.checkpoint.metadata.TensorStorageMetadata";
constexpr std::string_view kObjectClass = "torch.distributed.checkpoint.metadata.BytesStorageMetadata";
// Chunks are compared in pairs.
constexpr size_t kMostChunks = 8192;
constexpr size_t kMostSteps = 64;

Error damaged(const std::string& what) { return {ErrorKind::kUser, "is damaged: " + what}; }

// An attribute of an object; null where there is none.
const StoredTree* attribute(const StoredTree& object, const char* name) {
  const StoredTree* const state = object.find(kStateKey);
  return state == nullptr ? nullptr : state->find(name);
}

std::string_view class_of(const StoredTree& object) {
  const StoredTree* const name = object.find(kClassKey);
  const Opaque* const known = name == nullptr ? nullptr : name->get<Opaque>();
  return known == nullptr ? std::string_view() : std::string_view(known->qualified_name);
}

const std::string* text_of(const StoredTree* value) { return value == nullptr ? nullptr : value->get<std::string>(); }

std::optional<std::vector<int64_t>> sizes_of(const StoredTree* value) {
  const Tuple* const tuple = value == nullptr ? nullptr : value->get<Tuple>();
  if (tuple == nullptr || tuple->items.size() > kMaxDimensions) return std::nullopt;
  std::vector<int64_t> sizes;
  for (const StoredTree& item : tuple->items) {
    const int64_t* const size = item.get<int64_t>();
    if (size == nullptr || *size < 0) return std::nullopt;
    sizes.push_back(*size);
  }
  return sizes;
}

std::optional<int64_t> count_of(const std::vector<int64_t>& sizes) {
  int64_t count = 1;
  for (const int64_t size : sizes) {
    if (__builtin_mul_overflow(count, size, &count)) return std::nullopt;
  }
  return count;
}

// A file and a place in it; the place is checked where the file is opened.
std::optional<DistributedPlace> place_of(const StoredTree& info, std::string& error) {
  const std::string* const file = text_of(attribute(info, "relative_path"));
  const auto number = [&](const char* name) {
    const StoredTree* const value = attribute(info, name);
    const int64_t* const held = value == nullptr ? nullptr : value->get<int64_t>();
    return held == nullptr ? -1 : *held;
  };
  const int64_t offset = number("offset"), length = number("length");
  if (const StoredTree* const transforms = attribute(info, "transform_descriptors");
      transforms != nullptr && !transforms->is_none()) {
    const List* const list = transforms->get<List>();
    if (list == nullptr || !list->empty()) {
      error = "its streams are transformed (compressed), which is not supported";
      return std::nullopt;
    }
  }
  if (file == nullptr || file->empty() || file->find_first_of(std::string_view("/\0", 2)) != std::string::npos ||
      *file == "." || *file == ".." || offset < 0 || length < 0) {
    error = "a place that is none";
    return std::nullopt;
  }
  return DistributedPlace{*file, static_cast<uint64_t>(offset), static_cast<uint64_t>(length)};
}

using Index = std::pair<std::string, std::vector<int64_t>>;  // an item's name, and a chunk's offsets
using Places = std::map<Index, DistributedPlace>;

Result<Places> read_places(const StoredTree& metadata) {
  const StoredTree* const data = attribute(metadata, "storage_data");
  if (data == nullptr || data->get<Dict>() == nullptr) return damaged("it says nothing of its files");
  Places places;
  for (const auto& [key, info] : *data->get<Dict>()) {
    const std::string* const name = text_of(attribute(key, "fqn"));
    const StoredTree* const offset = attribute(key, "offset");
    const auto offsets = offset == nullptr || offset->is_none() ? std::vector<int64_t>() : sizes_of(offset);
    if (name == nullptr || !offsets) return damaged("an entry without a name");
    std::string error;
    auto place = place_of(info, error);
    if (!place) return damaged("'" + *name + "': " + error);
    if (!places.emplace(Index(*name, *offsets), std::move(*place)).second) return damaged("'" + *name + "' twice");
  }
  return places;
}

bool overlap(const DistributedChunk& a, const DistributedChunk& b) {
  for (size_t i = 0; i < a.sizes.size(); ++i) {
    if (a.offsets[i] + a.sizes[i] <= b.offsets[i] || b.offsets[i] + b.sizes[i] <= a.offsets[i]) return false;
  }
  return true;
}

// Empty when the chunks are the whole tensor, each element once.
std::string check_chunks(const DistributedTensor& tensor) {
  const auto all = count_of(tensor.sizes);
  if (!all) return "a tensor with too many elements";
  int64_t sum = 0;
  for (const DistributedChunk& chunk : tensor.chunks) {
    if (chunk.offsets.size() != tensor.sizes.size() || chunk.sizes.size() != tensor.sizes.size()) {
      return "a chunk with other dimensions";
    }
    for (size_t i = 0; i < tensor.sizes.size(); ++i) {
      if (chunk.offsets[i] > tensor.sizes[i] || chunk.sizes[i] > tensor.sizes[i] - chunk.offsets[i]) {
        return "a chunk beyond its tensor";
      }
    }
    const auto count = count_of(chunk.sizes);
    if (!count || __builtin_add_overflow(sum, *count, &sum)) return "chunks with too many elements";
  }
  if (sum != *all) return "its chunks are not the whole tensor";
  if (tensor.chunks.size() > kMostChunks) return "more than " + std::to_string(kMostChunks) + " chunks";
  for (size_t i = 0; i < tensor.chunks.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (overlap(tensor.chunks[i], tensor.chunks[j])) return "chunks that overlap";
    }
  }
  return {};
}

Result<DistributedTensor> read_tensor(const std::string& name, const StoredTree& value, const Places& places) {
  const auto wrong = [&](const std::string& what) { return damaged("'" + name + "': " + what); };
  DistributedTensor tensor;
  const StoredTree* const properties = attribute(value, "properties");
  const StoredTree* const state = properties == nullptr ? nullptr : properties->find(kStateKey);
  const Tuple* const fields = state == nullptr ? nullptr : state->get<Tuple>();
  const Opaque* const dtype = fields == nullptr || fields->items.empty() ? nullptr : fields->items[0].get<Opaque>();
  if (dtype == nullptr) return wrong("a tensor without an element type");
  constexpr std::string_view kModule = "torch.";
  const std::string_view type = dtype->qualified_name;
  const auto known = type.starts_with(kModule) ? element_of_dtype(type.substr(kModule.size())) : std::nullopt;
  if (!known)
    return Error{ErrorKind::kUser, "holds '" + name + "' as " + std::string(type) + ", which is not supported"};
  tensor.type = *known;
  auto sizes = sizes_of(attribute(value, "size"));
  const StoredTree* const chunks = attribute(value, "chunks");
  if (!sizes || chunks == nullptr || chunks->get<List>() == nullptr) return wrong("a tensor without a size");
  tensor.sizes = std::move(*sizes);
  for (const StoredTree& chunk : *chunks->get<List>()) {
    auto offsets = sizes_of(attribute(chunk, "offsets"));
    auto extents = sizes_of(attribute(chunk, "sizes"));
    if (!offsets || !extents) return wrong("a chunk without a size");
    if (count_of(*extents) == 0) continue;  // of a rank that has nothing of the tensor; several may be at one place
    const auto place = places.find({name, *offsets});
    if (place == places.end()) return wrong("a chunk without a file");
    tensor.chunks.push_back({std::move(*offsets), std::move(*extents), place->second});
  }
  if (std::string fault = check_chunks(tensor); !fault.empty()) return wrong(fault);
  return tensor;
}

// The path that the planner wrote down, or the name alone.
std::optional<std::vector<PathStep>> path_of(const std::string& name, const StoredTree* known) {
  const Tuple* const tuple = known == nullptr ? nullptr : known->get<Tuple>();
  if (tuple == nullptr) return std::vector<PathStep>{name};
  std::vector<PathStep> path;
  for (const StoredTree& step : tuple->items) {
    if (const std::string* key = step.get<std::string>()) {
      path.emplace_back(*key);
    } else if (const int64_t* position = step.get<int64_t>(); position != nullptr && *position >= 0) {
      path.emplace_back(*position);
    } else {
      return std::nullopt;
    }
  }
  if (path.empty() || path.size() > kMostSteps) return std::nullopt;
  return path;
}

// The metadata's objects, opcode by opcode.
class MetadataWriter {
 public:
  std::string run(const std::vector<DistributedItem>& items) {
    begin("metadata", "Metadata");
    key("state_dict_metadata");
    dict(items, [&](const DistributedItem& item) {
      emitter_.text(item.name);
      write_kind(item);
    });
    key("planner_data");
    dict(items, [&](const DistributedItem& item) {
      emitter_.text(item.name);
      emitter_.tuple(item.path.size(), [&] {
        for (const PathStep& step : item.path) write_step(step);
      });
    });
    key("storage_data");
    dict(items, [&](const DistributedItem& item) { write_places(item); });
    key("storage_meta");
    emitter_.none();
    key("version");
    emitter_.text("1.0.0");
    end();
    return emitter_.finish();
  }

 private:
  template <typename Write>
  void dict(const std::vector<DistributedItem>& items, Write&& write) {
    emitter_.opcode(pickle::kEmptyDict);
    emitter_.opcode(pickle::kMark);
    for (const DistributedItem& item : items) write(item);
    emitter_.opcode(pickle::kSetItems);
  }

  void object(const char* module, const char* name) {
    emitter_.global(std::string("torch.distributed.checkpoint.") + module, name);
    emitter_.opcode(pickle::kEmptyTuple);
    emitter_.opcode(pickle::kNewObj);
  }
  // An object whose attributes follow, up to end().
  void begin(const char* module, const char* name) {
    object(module, name);
    emitter_.opcode(pickle::kEmptyDict);
    emitter_.opcode(pickle::kMark);
  }
  void end() {
    emitter_.opcode(pickle::kSetItems);
    emitter_.opcode(pickle::kBuild);
  }
  void key(const char* name) { emitter_.text(name); }

  void size(const std::vector<int64_t>& sizes) {
    emitter_.global("torch", "Size");
    emitter_.tuple(1, [&] { emitter_.integers(sizes); });
    emitter_.opcode(pickle::kReduce);
  }

  void write_step(const PathStep& step) {
    if (const auto* name = std::get_if<std::string>(&step)) return emitter_.text(*name);
    emitter_.integer(std::get<int64_t>(step));
  }

  void write_kind(const DistributedItem& item) {
    const auto* tensor = std::get_if<DistributedTensor>(&item.held);
    if (tensor == nullptr) return object("metadata", "BytesStorageMetadata");
    begin("metadata", "TensorStorageMetadata");
    key("properties");
    write_properties(tensor->type);
    key("size");
    size(tensor->sizes);
    key("chunks");
    emitter_.opcode(pickle::kEmptyList);
    emitter_.opcode(pickle::kMark);
    for (const DistributedChunk& chunk : tensor->chunks) {
      begin("metadata", "ChunkStorageMetadata");
      key("offsets");
      size(chunk.offsets);
      key("sizes");
      size(chunk.sizes);
      end();
    }
    emitter_.opcode(pickle::kAppends);
    end();
  }

  // (dtype, layout, requires_grad, memory format, pin_memory)
  void write_properties(ElementType type) {
    object("metadata", "TensorProperties");
    emitter_.tuple(5, [&] {
      emitter_.global("torch", element_info(type).dtype);
      call("torch.serialization", "_get_layout", [&] { emitter_.tuple(1, [&] { emitter_.text("torch.strided"); }); });
      emitter_.truth(false);
      call("torch.distributed.checkpoint.metadata", "_MEM_FORMAT_ENCODING",
           [&] { emitter_.tuple(1, [&] { emitter_.integer(0); }); });
      emitter_.truth(false);
    });
    emitter_.opcode(pickle::kBuild);
  }

  template <typename Arguments>
  void call(const char* module, const char* name, Arguments&& arguments) {
    emitter_.global(module, name);
    arguments();
    emitter_.opcode(pickle::kReduce);
  }

  void write_places(const DistributedItem& item) {
    if (const auto* place = std::get_if<DistributedPlace>(&item.held)) {
      index(item.name);
      emitter_.none();
      key("index");
      emitter_.none();
      end();
      return write_place(*place);
    }
    const auto& chunks = std::get<DistributedTensor>(item.held).chunks;
    for (size_t i = 0; i < chunks.size(); ++i) {
      index(item.name);
      size(chunks[i].offsets);
      key("index");
      emitter_.integer(static_cast<int64_t>(i));
      end();
      write_place(chunks[i].place);
    }
  }

  // As far as the value of "offset", which comes first: the object is a key of a dict.
  void index(const std::string& name) {
    begin("metadata", "MetadataIndex");
    key("fqn");
    emitter_.text(name);
    key("offset");
  }

  void write_place(const DistributedPlace& place) {
    begin("filesystem", "_StorageInfo");
    key("relative_path");
    emitter_.text(place.file);
    key("offset");
    emitter_.integer(static_cast<int64_t>(place.offset));
    key("length");
    emitter_.integer(static_cast<int64_t>(place.length));
    end();
  }

  pickle::PickleEmitter emitter_;
};

}  // namespace

Result<std::vector<DistributedItem>> read_metadata(std::span<const uint8_t> bytes) {
  auto metadata = read_object_pickle(bytes);
  if (!metadata) return metadata.error();
  const StoredTree* const kinds = attribute(*metadata, "state_dict_metadata");
  if (kinds == nullptr || kinds->get<Dict>() == nullptr) {
    return Error{ErrorKind::kUser, "is no metadata of torch.distributed.checkpoint"};
  }
  auto places = read_places(*metadata);
  if (!places) return places.error();
  const StoredTree* const paths = attribute(*metadata, "planner_data");
  std::map<std::string, const StoredTree*> path_by_name;
  if (const Dict* const dict = paths == nullptr ? nullptr : paths->get<Dict>()) {
    for (const auto& [key, path] : *dict) {
      if (const std::string* name = key.get<std::string>()) path_by_name.emplace(*name, &path);
    }
  }
  std::vector<DistributedItem> items;
  for (const auto& [key, value] : *kinds->get<Dict>()) {
    const std::string* const name = key.get<std::string>();
    if (name == nullptr) return damaged("an entry without a name");
    DistributedItem item{*name, {}, DistributedPlace{}};
    const auto known = path_by_name.find(*name);
    auto path = path_of(*name, known == path_by_name.end() ? nullptr : known->second);
    if (!path) return damaged("'" + *name + "' has no path");
    item.path = std::move(*path);
    if (class_of(value) == kTensorClass) {
      auto tensor = read_tensor(*name, value, *places);
      if (!tensor) return tensor.error();
      item.held = std::move(*tensor);
    } else if (class_of(value) == kObjectClass) {
      const auto place = places->find({*name, {}});
      if (place == places->end()) return damaged("'" + *name + "' without a file");
      item.held = place->second;
    } else {
      return damaged("'" + *name + "' is neither a tensor nor an object");
    }
    items.push_back(std::move(item));
  }
  return items;
}

std::string write_metadata(const std::vector<DistributedItem>& items) { return MetadataWriter().run(items); }

std::string item_name(const std::vector<PathStep>& path) {
  std::string name;
  for (const PathStep& step : path) {
    const auto* key = std::get_if<std::string>(&step);
    name += (name.empty() ? "" : ".") + (key != nullptr ? *key : std::to_string(std::get<int64_t>(step)));
  }
  return name;
}

}  // namespace ferrun::checkpoint
