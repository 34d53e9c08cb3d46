#include "worker/checkpoint/pickle_writer.h"

#include <bit>
#include <limits>
#include <string_view>
#include <unordered_map>

#include "worker/checkpoint/pickle_opcodes.h"

namespace ferrun::checkpoint {
namespace {

using namespace pickle;

class PickleWriter {
 public:
  Result<std::string> run(const StoredTree& tree) {
    opcode(kProto);
    number<1>(kProtocol);
    write(tree);
    opcode(kStop);
    if (!error_.empty()) return Error{ErrorKind::kInternal, error_};
    return std::move(out_);
  }

 private:
  void write(const StoredTree& tree) {
    std::visit([this](const auto& held) { write_held(held); }, tree.held);
  }

  void write_held(std::monostate) { opcode(kNone); }
  void write_held(bool truth) { opcode(truth ? kNewTrue : kNewFalse); }
  void write_held(const std::string& text) {
    remembered("s" + text, [&] {
      opcode(kBinUnicode);
      number<4>(text.size());
      out_ += text;
    });
  }
  void write_held(const Opaque& object) { error_ = "an object of class " + object.qualified_name + " cannot be saved"; }

  void write_held(int64_t value) {
    if (value >= 0 && value <= std::numeric_limits<uint8_t>::max()) {
      opcode(kBinInt1);
      number<1>(static_cast<uint64_t>(value));
    } else if (value >= 0 && value <= std::numeric_limits<uint16_t>::max()) {
      opcode(kBinInt2);
      number<2>(static_cast<uint64_t>(value));
    } else if (value == static_cast<int32_t>(value)) {
      opcode(kBinInt);
      number<4>(static_cast<uint64_t>(value));
    } else {
      opcode(kLong1);
      number<1>(8);
      number<8>(static_cast<uint64_t>(value));
    }
  }

  void write_held(double value) {
    opcode(kBinFloat);
    const uint64_t bits = std::bit_cast<uint64_t>(value);
    for (int shift = 56; shift >= 0; shift -= 8) out_.push_back(static_cast<char>(bits >> shift));
  }

  void write_held(const StoredTree::List& list) {
    opcode(kEmptyList);
    opcode(kMark);
    for (const StoredTree& item : list) write(item);
    opcode(kAppends);
  }

  void write_held(const StoredTree::Tuple& tuple) { write_tuple(tuple.items); }

  void write_held(const StoredTree::Dict& dict) {
    opcode(kEmptyDict);
    opcode(kMark);
    for (const auto& [key, value] : dict) {
      write(key);
      write(value);
    }
    opcode(kSetItems);
  }

  // torch._utils._rebuild_tensor_v2(storage, offset, sizes, strides, requires_grad=False, backward_hooks=OrderedDict())
  void write_held(const StoredTensor& tensor) {
    const ElementInfo& element = element_info(tensor.type);
    if (element.storage_class.empty()) {
      error_ = "tensors of type " + std::string(element.dtype) + " cannot be saved";
      return;
    }
    global("torch._utils", "_rebuild_tensor_v2");
    opcode(kMark);
    opcode(kMark);
    write_held(std::string("storage"));
    global("torch", element.storage_class);
    write_held(tensor.storage_key);
    write_held(std::string("cpu"));
    write_held(static_cast<int64_t>(tensor.storage_bytes / element.bytes));
    opcode(kTuple);
    opcode(kBinPersId);
    write_held(tensor.storage_offset);
    write_tuple(StoredTree::List(tensor.sizes.begin(), tensor.sizes.end()));
    write_tuple(StoredTree::List(tensor.strides.begin(), tensor.strides.end()));
    opcode(kNewFalse);
    global("collections", "OrderedDict");
    opcode(kEmptyTuple);
    opcode(kReduce);
    opcode(kTuple);
    opcode(kReduce);
  }

  void write_tuple(const StoredTree::List& items) {
    if (items.empty()) return opcode(kEmptyTuple);
    if (items.size() > 3) opcode(kMark);
    for (const StoredTree& item : items) write(item);
    constexpr Opcode kBySize[] = {kTuple1, kTuple2, kTuple3};
    opcode(items.size() > 3 ? kTuple : kBySize[items.size() - 1]);
  }

  void global(std::string_view module, std::string_view name) {
    const std::string lines = std::string(module) + "\n" + std::string(name) + "\n";
    remembered("g" + lines, [&] {
      opcode(kGlobal);
      out_ += lines;
    });
  }

  // Writes what `write` writes the first time, and a reference to it afterwards.
  template <typename Write>
  void remembered(const std::string& key, Write&& write) {
    const auto [found, is_new] = memo_.emplace(key, static_cast<uint32_t>(memo_.size()));
    const uint32_t index = found->second;
    const bool is_short = index <= std::numeric_limits<uint8_t>::max();
    if (is_new) write();
    opcode(is_new ? (is_short ? kBinPut : kLongBinPut) : (is_short ? kBinGet : kLongBinGet));
    is_short ? number<1>(index) : number<4>(index);
  }

  void opcode(Opcode code) { out_.push_back(static_cast<char>(code)); }

  template <size_t Width>
  void number(uint64_t value) {
    for (size_t i = 0; i < Width; ++i) out_.push_back(static_cast<char>(value >> (8 * i)));
  }

  std::string out_;
  std::unordered_map<std::string, uint32_t> memo_;
  std::string error_;
};

}  // namespace

Result<std::string> write_pickle(const StoredTree& tree) { return PickleWriter().run(tree); }

}  // namespace ferrun::checkpoint
