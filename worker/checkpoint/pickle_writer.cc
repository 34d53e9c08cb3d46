#include "worker/checkpoint/pickle_writer.h"

#include "worker/checkpoint/pickle_emitter.h"

namespace ferrun::checkpoint {
namespace {

using namespace pickle;

class PickleWriter {
 public:
  Result<std::string> run(const StoredTree& tree) {
    write(tree);
    if (!error_.empty()) return Error{ErrorKind::kInternal, error_};
    return emitter_.finish();
  }

 private:
  void write(const StoredTree& tree) {
    std::visit([this](const auto& held) { write_held(held); }, tree.held);
  }

  void write_held(std::monostate) { emitter_.none(); }
  void write_held(bool truth) { emitter_.truth(truth); }
  void write_held(const std::string& text) { emitter_.text(text); }
  void write_held(int64_t value) { emitter_.integer(value); }
  void write_held(double value) { emitter_.real(value); }
  void write_held(const Opaque& object) { error_ = "an object of class " + object.qualified_name + " cannot be saved"; }

  void write_held(const StoredTree::List& list) {
    emitter_.opcode(kEmptyList);
    emitter_.opcode(kMark);
    for (const StoredTree& item : list) write(item);
    emitter_.opcode(kAppends);
  }

  void write_held(const StoredTree::Tuple& tuple) {
    emitter_.tuple(tuple.items.size(), [&] {
      for (const StoredTree& item : tuple.items) write(item);
    });
  }

  void write_held(const StoredTree::Dict& dict) {
    emitter_.opcode(kEmptyDict);
    emitter_.opcode(kMark);
    for (const auto& [key, value] : dict) {
      write(key);
      write(value);
    }
    emitter_.opcode(kSetItems);
  }

  // torch._utils._rebuild_tensor_v2(storage, offset, sizes, strides, requires_grad=False, backward_hooks=OrderedDict())
  void write_held(const StoredTensor& tensor) {
    const ElementInfo& element = element_info(tensor.type);
    if (element.storage_class.empty()) {
      error_ = "tensors of type " + std::string(element.dtype) + " cannot be saved";
      return;
    }
    emitter_.global("torch._utils", "_rebuild_tensor_v2");
    emitter_.opcode(kMark);
    emitter_.opcode(kMark);
    emitter_.text("storage");
    emitter_.global("torch", element.storage_class);
    emitter_.text(tensor.storage_key);
    emitter_.text("cpu");
    emitter_.integer(static_cast<int64_t>(tensor.storage_bytes / element.bytes));
    emitter_.opcode(kTuple);
    emitter_.opcode(kBinPersId);
    emitter_.integer(tensor.storage_offset);
    emitter_.integers(tensor.sizes);
    emitter_.integers(tensor.strides);
    emitter_.truth(false);
    emitter_.global("collections", "OrderedDict");
    emitter_.opcode(kEmptyTuple);
    emitter_.opcode(kReduce);
    emitter_.opcode(kTuple);
    emitter_.opcode(kReduce);
  }

  PickleEmitter emitter_;
  std::string error_;
};

}  // namespace

Result<std::string> write_pickle(const StoredTree& tree) { return PickleWriter().run(tree); }

}  // namespace ferrun::checkpoint
