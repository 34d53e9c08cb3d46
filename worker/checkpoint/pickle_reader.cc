#include "worker/checkpoint/pickle_reader.h"

#include <bit>
#include <string>
#include <unordered_map>
#include <vector>

#include "worker/checkpoint/pickle_objects.h"
#include "worker/checkpoint/pickle_opcodes.h"

namespace ferrun::checkpoint {
namespace {

using namespace pickle;

constexpr size_t kMaxObjects = size_t{1} << 23;
constexpr size_t kMaxNameLength = 1000;
constexpr uint64_t kNewestProtocol = 5;
// A tree costs some 112 bytes a value, and a value at least 2 bytes of pickle unless it is shared.
constexpr size_t kTreeBytesAtLeast = size_t{1} << 24;
constexpr size_t kTreeBytesPerByte = 256;

// The pickle machine. A broken pickle sets error_ and reading stops; accessors then return harmless values, so that
// each opcode reads as one line.
class Machine {
 public:
  // `keep_objects`: see read_object_pickle.
  explicit Machine(std::span<const uint8_t> input, bool keep_objects = false)
      : input_(input), keeps_objects_(keep_objects) {}

  Result<FirstPickle> run() {
    for (bool stopped = false; !stopped && error_.empty();) {
      const uint8_t opcode = static_cast<uint8_t>(number<1>());
      stopped = opcode == kStop;
      if (!stopped && error_.empty()) step(opcode);
      if (objects_.size() > kMaxObjects) fail("more than " + std::to_string(kMaxObjects) + " objects");
    }
    if (error_.empty() && stack_.size() != 1) fail("no single value at its end");
    if (!error_.empty()) return Error{ErrorKind::kUser, error_};
    auto tree = to_tree(objects_, stack_.back(), kTreeBytesAtLeast + kTreeBytesPerByte * position_);
    if (!tree) return tree.error();
    return FirstPickle{std::move(*tree), position_, std::move(element_bytes_)};
  }

 private:
  void step(uint8_t opcode) {
    // One opcode a line, as a table.
    // clang-format off
    switch (opcode) {
      case kProto: return check_protocol(number<1>());
      case kMark: return marks_.push_back(stack_.size());
      case kPop: return stack_.size() > floor() ? void(pop()) : void(take_marked());
      case kPopMark: return void(take_marked());
      case kNone: return push(std::monostate());
      case kNewTrue: return push(true);
      case kNewFalse: return push(false);
      case kBinInt: return push(int64_t{static_cast<int32_t>(number<4>())});
      case kBinInt1: return push(static_cast<int64_t>(number<1>()));
      case kBinInt2: return push(static_cast<int64_t>(number<2>()));
      case kLong1: return push_long(bytes(number<1>()));
      case kBinFloat: return push_float(bytes(8));
      case kBinUnicode:
      case kBinString: return push(text(number<4>()));
      case kShortBinString: return push(text(number<1>()));
      case kBinPut: return put(number<1>());
      case kLongBinPut: return put(number<4>());
      case kBinGet: return get(number<1>());
      case kLongBinGet: return get(number<4>());
      case kEmptyList: return push(ListObject{});
      case kEmptyDict: return push(DictObject{});
      case kEmptyTuple: return push(TupleObject{});
      case kTuple: return push(TupleObject{take_marked()});
      case kTuple1: return push(TupleObject{take(1)});
      case kTuple2: return push(TupleObject{take(2)});
      case kTuple3: return push(TupleObject{take(3)});
      case kList: return push(ListObject{take_marked()});
      case kDict: return push_dict(take_marked());
      case kAppend: return append(take(1));
      case kAppends: return append(take_marked());
      case kSetItem: return set_items(take(2));
      case kSetItems: return set_items(take_marked());
      case kGlobal: return push_global();
      case kReduce: return reduce(take(2));
      case kNewObj: return new_object(take(2));
      case kBuild: return build(take(1));
      case kBinPersId: return load_storage(take(1));
      default: return keeps_objects_ ? step_of_protocol_4(opcode) : unknown(opcode);
    }
    // clang-format on
  }

  void step_of_protocol_4(uint8_t opcode) {
    // clang-format off
    switch (opcode) {
      case kShortBinUnicode: return push(text(number<1>()));
      case kStackGlobal: return push_global_of(take(2));
      case kMemoize: return put(memo_.size());
      case kFrame: return void(number<8>());  // a length for readers of streams
      default: return unknown(opcode);
    }
    // clang-format on
  }

  void unknown(uint8_t opcode) {
    fail("an unknown opcode " + std::to_string(opcode) + " at " + std::to_string(position_ - 1));
  }

  void fail(const std::string& what) {
    if (error_.empty()) error_ = "is corrupt: its pickle has " + what;
  }

  std::span<const uint8_t> bytes(uint64_t length) {
    if (length > input_.size() - position_) {
      fail("no end");
      position_ = input_.size();
      return {};
    }
    const auto taken = input_.subspan(position_, length);
    position_ += length;
    return taken;
  }

  template <size_t Width>
  uint64_t number() {
    uint64_t value = 0;
    size_t shift = 0;
    for (uint8_t byte : bytes(Width)) value |= uint64_t{byte} << (8 * shift++);
    return value;
  }

  std::string text(uint64_t length) {
    const auto taken = bytes(length);
    return std::string(taken.begin(), taken.end());
  }

  std::string line() {
    std::string taken;
    for (uint8_t byte = 0; error_.empty();) {
      byte = static_cast<uint8_t>(number<1>());
      if (byte == '\n') break;
      if (taken.size() == kMaxNameLength) fail("a name that is too long");
      taken.push_back(static_cast<char>(byte));
    }
    return taken;
  }

  void push(Object object) {
    stack_.push_back(static_cast<Ref>(objects_.size()));
    objects_.push_back(std::move(object));
  }

  void push(Result<Object> object) {
    if (object) return push(std::move(*object));
    if (error_.empty()) error_ = object.error().message;
  }

  // Values below the last mark belong to an unfinished container.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  Ref pop() {
    if (stack_.size() <= floor()) {
      fail("a value missing");
      return kNothing;
    }
    const Ref top = stack_.back();
    stack_.pop_back();
    return top;
  }

  std::vector<Ref> take(size_t count) {
    std::vector<Ref> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    return items;
  }

  std::vector<Ref> take_marked() {
    if (marks_.empty()) {
      fail("a mark missing");
      return {};
    }
    const auto begin = stack_.begin() + static_cast<ptrdiff_t>(marks_.back());
    std::vector<Ref> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }

  // The container that an APPEND or SETITEM fills.
  Object& top() { return objects_[stack_.size() > floor() ? stack_.back() : (fail("a value missing"), kNothing)]; }

  void check_protocol(uint64_t protocol) {
    const bool known = keeps_objects_ ? protocol >= kProtocol && protocol <= kNewestProtocol : protocol == kProtocol;
    if (known || !error_.empty()) return;
    error_ = "has pickle protocol " + std::to_string(protocol) + ": save it with torch.save's default, which is 2";
  }

  void push_long(std::span<const uint8_t> digits) {
    if (digits.size() > sizeof(int64_t)) return push(Opaque{"int beyond 64 bits"});
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof value; ++i) {
      const bool negative = !digits.empty() && (digits.back() & 0x80) != 0;
      const uint64_t digit = i < digits.size() ? digits[i] : negative ? 0xff : 0;
      value |= digit << (8 * i);
    }
    push(static_cast<int64_t>(value));
  }

  void push_float(std::span<const uint8_t> big_endian) {
    uint64_t bits = 0;
    for (uint8_t byte : big_endian) bits = bits << 8 | byte;
    push(std::bit_cast<double>(bits));
  }

  void push_dict(const std::vector<Ref>& items) {
    push(DictObject{});
    set_items(items);
  }

  void push_global() {
    const std::string module = line();
    push(Global{module + "." + line()});
  }

  void push_global_of(const std::vector<Ref>& module_and_name) {
    const auto* module = std::get_if<std::string>(&objects_[module_and_name[0]]);
    const auto* name = std::get_if<std::string>(&objects_[module_and_name[1]]);
    if (!error_.empty()) return;
    if (module == nullptr || name == nullptr || module->size() + name->size() > kMaxNameLength) {
      return fail("a class without a name");
    }
    push(Global{*module + "." + *name});
  }

  void put(uint64_t key) {
    if (stack_.size() > floor()) {
      memo_[static_cast<uint32_t>(key)] = stack_.back();
    } else {
      fail("a value missing");
    }
  }

  void get(uint64_t key) {
    const auto found = memo_.find(static_cast<uint32_t>(key));
    if (found == memo_.end()) return fail("a reference to nothing");
    stack_.push_back(found->second);
  }

  void append(const std::vector<Ref>& items) {
    Object& target = top();
    if (auto* list = std::get_if<ListObject>(&target)) {
      list->items.insert(list->items.end(), items.begin(), items.end());
    } else if (!std::holds_alternative<Opaque>(target)) {
      fail("items for something that is no list");
    }
  }

  void set_items(const std::vector<Ref>& items) {
    if (items.size() % 2 != 0) return fail("a key without a value");
    Object& target = top();
    auto* dict = std::get_if<DictObject>(&target);
    if (dict == nullptr && !std::holds_alternative<Opaque>(target)) return fail("items for something that is no dict");
    for (size_t i = 0; dict != nullptr && i < items.size(); i += 2) dict->entries.emplace_back(items[i], items[i + 1]);
  }

  void reduce(const std::vector<Ref>& function_and_arguments) {
    const auto* function = std::get_if<Global>(&objects_[function_and_arguments[0]]);
    const auto* arguments = std::get_if<TupleObject>(&objects_[function_and_arguments[1]]);
    if (!error_.empty()) return;
    if (arguments == nullptr) return fail("a call without arguments");
    if (function == nullptr) return push(Opaque{"object"});
    push(call(objects_, function->name, arguments->items));
  }

  void new_object(const std::vector<Ref>& class_and_arguments) {
    const auto* name = std::get_if<Global>(&objects_[class_and_arguments[0]]);
    if (!keeps_objects_) return push(Opaque{name == nullptr ? "object" : name->name});
    push(std::string(kClassKey));
    const Ref key = stack_.back();
    stack_.back() = static_cast<Ref>(objects_.size());
    objects_.push_back(DictObject{{{key, class_and_arguments[0]}}});
  }

  // Attributes, such as a state_dict's _metadata: not needed where objects are not.
  void build(const std::vector<Ref>& state) {
    auto* const object = std::get_if<DictObject>(&top());
    if (!keeps_objects_ || object == nullptr) return;
    object->entries.emplace_back(static_cast<Ref>(objects_.size()), state[0]);
    objects_.push_back(std::string(kStateKey));
  }

  void load_storage(const std::vector<Ref>& id) {
    const auto* items = std::get_if<TupleObject>(&objects_[id[0]]);
    if (items == nullptr) return fail("an unknown kind of external object");
    auto loaded = load_persistent(objects_, items->items);
    if (const auto* storage = loaded ? std::get_if<Storage>(&*loaded) : nullptr) {
      const uint64_t bytes = element_info(storage->type).bytes;
      if (element_bytes_.emplace(storage->key, bytes).first->second != bytes) {
        return fail("two element types for the storage " + storage->key);
      }
    }
    push(std::move(loaded));
  }

  static constexpr Ref kNothing = 0;  // always there, so that a failed access needs no second check

  std::span<const uint8_t> input_;
  const bool keeps_objects_;
  size_t position_ = 0;
  Objects objects_{Object()};
  std::vector<Ref> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, Ref> memo_;
  std::map<std::string, uint64_t> element_bytes_;
  std::string error_;
};

}  // namespace

Result<StoredTree> read_pickle(std::span<const uint8_t> pickle) {
  auto read = Machine(pickle).run();
  if (!read) return read.error();
  return std::move(read->tree);
}

Result<StoredTree> read_object_pickle(std::span<const uint8_t> pickle) {
  auto read = Machine(pickle, /*keep_objects=*/true).run();
  if (!read) return read.error();
  return std::move(read->tree);
}

Result<FirstPickle> read_first_pickle(std::span<const uint8_t> input) { return Machine(input).run(); }

}  // namespace ferrun::checkpoint
