#include "worker/checkpoint/pickle_objects.h"

#include <optional>
#include <set>
#include <string_view>

namespace ferrun::checkpoint::pickle {
namespace {

constexpr int kMaxDepth = 100;
constexpr size_t kMaxKeyLength = 64;

Error malformed(const std::string& what) { return {ErrorKind::kUser, "is corrupt: its pickle has " + what}; }

template <typename T>
const T* as(const Objects& objects, const std::vector<Ref>& items, size_t position) {
  return position < items.size() ? std::get_if<T>(&objects[items[position]]) : nullptr;
}

std::optional<std::vector<int64_t>> integers(const Objects& objects, const TupleObject* tuple) {
  if (tuple == nullptr || tuple->items.size() > kMaxDimensions) return std::nullopt;
  std::vector<int64_t> numbers;
  for (Ref item : tuple->items) {
    const int64_t* number = std::get_if<int64_t>(&objects[item]);
    if (number == nullptr) return std::nullopt;
    numbers.push_back(*number);
  }
  return numbers;
}

bool is_floating(ElementType type) {
  switch (type) {
    case ElementType::kFloat64:
    case ElementType::kFloat32:
    case ElementType::kFloat16:
    case ElementType::kBFloat16:
    case ElementType::kComplex128:
    case ElementType::kComplex64: return true;
    default: return false;
  }
}

// What _rebuild_tensor's last argument says of a tensor, if it is there: {'conj': True}, {'neg': True}.
bool take_metadata(const Objects& objects, const std::vector<Ref>& arguments, size_t position, StoredTensor& tensor) {
  const DictObject* const metadata = as<DictObject>(objects, arguments, position);
  if (metadata == nullptr) return position >= arguments.size() || as<std::monostate>(objects, arguments, position);
  for (const auto& [key, value] : metadata->entries) {
    const auto* const name = std::get_if<std::string>(&objects[key]);
    const bool* const set = std::get_if<bool>(&objects[value]);
    if (name == nullptr || set == nullptr || !is_floating(tensor.type)) return false;
    if (*name == "conj") {
      tensor.conjugate = *set;
    } else if (*name == "neg") {
      tensor.negative = *set;
    } else {
      return false;
    }
  }
  return true;
}

// _rebuild_tensor[_v2](storage, offset, size, stride, requires_grad, hooks, metadata=None); _v3 has the element type
// before the metadata.
Result<Object> rebuild_tensor(const Objects& objects, const std::vector<Ref>& arguments, bool dtype_given) {
  const Storage* storage = as<Storage>(objects, arguments, 0);
  const int64_t* offset = as<int64_t>(objects, arguments, 1);
  auto sizes = integers(objects, as<TupleObject>(objects, arguments, 2));
  auto strides = integers(objects, as<TupleObject>(objects, arguments, 3));
  if (storage == nullptr || offset == nullptr || !sizes || !strides) return malformed("a tensor with odd arguments");
  uint64_t bytes = 0;
  if (storage->elements < 0 ||
      __builtin_mul_overflow(static_cast<uint64_t>(storage->elements), element_info(storage->type).bytes, &bytes)) {
    return malformed("a storage of impossible length");
  }
  ElementType type = storage->type;
  if (dtype_given) {
    constexpr std::string_view kModule = "torch.";
    const Global* dtype = as<Global>(objects, arguments, 6);
    if (dtype == nullptr || dtype->name.compare(0, kModule.size(), kModule) != 0) {
      return malformed("a tensor with odd arguments");
    }
    const auto known = element_of_dtype(std::string_view(dtype->name).substr(kModule.size()));
    if (!known) return Object(Opaque{dtype->name + " tensor"});
    type = *known;
  }
  int64_t first = 0;
  if (*offset < 0 || __builtin_add_overflow(storage->first, *offset, &first)) {
    return malformed("a tensor that begins before its storage");
  }
  StoredTensor tensor{type, storage->key, bytes, first, *std::move(sizes), *std::move(strides), false, false};
  if (!take_metadata(objects, arguments, dtype_given ? 7 : 6, tensor)) {
    return Object(Opaque{"torch.Tensor with metadata"});
  }
  if (std::string wrong = check_layout(tensor); !wrong.empty()) return malformed(wrong);
  return Object(std::move(tensor));
}

class TreeBuilder {
 public:
  TreeBuilder(const Objects& objects, size_t max_bytes) : objects_(objects), bytes_left_(max_bytes) {}

  Result<StoredTree> build(Ref ref, int depth) {
    if (depth > kMaxDepth) return malformed("containers nested deeper than 100 levels, or within themselves");
    if (!charge(sizeof(StoredTree))) return too_large();
    const Object& object = objects_[ref];
    if (const auto* list = std::get_if<ListObject>(&object)) return build_list(list->items, depth);
    if (const auto* dict = std::get_if<DictObject>(&object)) return build_dict(*dict, depth);
    if (const auto* tuple = std::get_if<TupleObject>(&object)) {
      auto list = build_list(tuple->items, depth);
      if (!list) return list;
      return StoredTree(StoredTree::Tuple{std::move(*list->get<StoredTree::List>())});
    }
    return build_leaf(object);
  }

 private:
  static Error too_large() { return malformed("so many shared values that they would not fit into memory"); }

  bool charge(size_t bytes) {
    if (bytes > bytes_left_) return false;
    bytes_left_ -= bytes;
    return true;
  }

  Result<StoredTree> build_list(const std::vector<Ref>& items, int depth) {
    StoredTree::List list;
    for (Ref item : items) {
      auto built = build(item, depth + 1);
      if (!built) return built;
      list.push_back(std::move(*built));
    }
    return StoredTree(std::move(list));
  }

  Result<StoredTree> build_dict(const DictObject& object, int depth) {
    StoredTree::Dict dict;
    std::set<std::string_view> names;
    std::set<int64_t> numbers;
    for (const auto& [key, value] : object.entries) {
      const auto* name = std::get_if<std::string>(&objects_[key]);
      const auto* number = std::get_if<int64_t>(&objects_[key]);
      if (name != nullptr && !names.insert(*name).second) return malformed("the key '" + *name + "' twice");
      if (number != nullptr && !numbers.insert(*number).second) {
        return malformed("the key " + std::to_string(*number) + " twice");
      }
      auto built_key = build(key, depth + 1);
      if (!built_key) return built_key;
      auto built_value = build(value, depth + 1);
      if (!built_value) return built_value;
      dict.emplace_back(std::move(*built_key), std::move(*built_value));
    }
    return StoredTree(std::move(dict));
  }

  Result<StoredTree> build_leaf(const Object& object) {
    if (const auto* truth = std::get_if<bool>(&object)) return StoredTree(*truth);
    if (const auto* number = std::get_if<int64_t>(&object)) return StoredTree(*number);
    if (const auto* number = std::get_if<double>(&object)) return StoredTree(*number);
    if (const auto* global = std::get_if<Global>(&object)) return build_opaque(global->name);
    if (const auto* opaque = std::get_if<Opaque>(&object)) return build_opaque(opaque->qualified_name);
    if (std::holds_alternative<Storage>(object)) return StoredTree(Opaque{"torch.storage.TypedStorage"});
    if (const auto* text = std::get_if<std::string>(&object)) {
      if (!charge(text->size())) return too_large();
      return StoredTree(*text);
    }
    if (const auto* tensor = std::get_if<StoredTensor>(&object)) {
      if (!charge(sizeof(int64_t) * 2 * tensor->sizes.size() + tensor->storage_key.size())) return too_large();
      return StoredTree(*tensor);
    }
    return StoredTree();
  }

  Result<StoredTree> build_opaque(const std::string& name) {
    if (!charge(name.size())) return too_large();
    return StoredTree(Opaque{name});
  }

  const Objects& objects_;
  size_t bytes_left_;
};

}  // namespace

Result<Object> call(const Objects& objects, const std::string& function, const std::vector<Ref>& arguments) {
  if (function == "torch._utils._rebuild_tensor_v2" || function == "torch._utils._rebuild_tensor") {
    return rebuild_tensor(objects, arguments, false);
  }
  if (function == "torch._utils._rebuild_tensor_v3") return rebuild_tensor(objects, arguments, true);
  if (function == "torch._utils._rebuild_parameter" || function == "torch._utils._rebuild_parameter_with_state") {
    const StoredTensor* tensor = as<StoredTensor>(objects, arguments, 0);
    if (tensor == nullptr) return malformed("a parameter that is no tensor");
    return Object(*tensor);
  }
  // Both are made empty and filled by SETITEMS.
  if (function == "collections.OrderedDict" && arguments.empty()) return Object(DictObject{});
  if (function == "collections.defaultdict") return Object(DictObject{});
  if (function == "collections.Counter" && arguments.size() == 1) {
    const DictObject* counts = as<DictObject>(objects, arguments, 0);
    return counts == nullptr ? malformed("a Counter of odd arguments") : Result<Object>(Object(*counts));
  }
  if (function == "torch.Size") {
    const TupleObject* sizes = as<TupleObject>(objects, arguments, 0);
    if (sizes == nullptr || sizes->items.size() > kMaxDimensions) return malformed("a torch.Size with odd arguments");
    return Object(*sizes);
  }
  return Object(Opaque{function});
}

Result<Object> load_persistent(const Objects& objects, const std::vector<Ref>& id) {
  const std::string* kind = as<std::string>(objects, id, 0);
  // The legacy format keeps a model's class beside its source text.
  const Global* module_class = as<Global>(objects, id, 1);
  if (kind != nullptr && *kind == "module" && module_class != nullptr) return Object(*module_class);
  const Global* storage_class = as<Global>(objects, id, 1);
  const std::string* key = as<std::string>(objects, id, 2);
  const int64_t* elements = as<int64_t>(objects, id, 4);
  if (kind == nullptr || *kind != "storage" || storage_class == nullptr || key == nullptr || elements == nullptr ||
      key->size() > kMaxKeyLength) {
    return malformed("an unknown kind of external object");
  }
  // (key, offset, size) of a view into the storage, which the legacy format may have as its sixth value.
  int64_t first = 0;
  if (const TupleObject* view = as<TupleObject>(objects, id, 5)) {
    const int64_t* offset = as<int64_t>(objects, view->items, 1);
    if (offset == nullptr || *offset < 0) return malformed("a view with odd arguments");
    first = *offset;
  }
  if (storage_class->name == "torch.storage.UntypedStorage" || storage_class->name == "torch.UntypedStorage") {
    return Object(Storage{ElementType::kUInt8, *key, *elements, first});
  }
  constexpr std::string_view kModule = "torch.";
  const std::string_view name = storage_class->name;
  const auto type =
      name.compare(0, kModule.size(), kModule) == 0 ? element_of_storage(name.substr(kModule.size())) : std::nullopt;
  if (!type)
    return Error{ErrorKind::kUser, "holds tensors of the kind " + storage_class->name + ", which is not supported"};
  return Object(Storage{*type, *key, *elements, first});
}

Result<StoredTree> to_tree(const Objects& objects, Ref root, size_t max_bytes) {
  return TreeBuilder(objects, max_bytes).build(root, 0);
}

}  // namespace ferrun::checkpoint::pickle
