// The objects that a pickle builds while it is read. They refer to each other by number, because a pickle may fill a
// list after it has stored, shared or even nested it in itself; pickle_reader turns the finished graph into a tree.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/stored_tensor.h"

namespace ferrun::checkpoint::pickle {

using Ref = uint32_t;

struct Global {  // a class or function, by "module.name"
  std::string name;
};
struct Storage {  // what a persistent id stands for
  ElementType type;
  std::string key;
  int64_t elements;
  int64_t first = 0;  // of a view: where it begins in the storage (legacy format alone)
};
struct ListObject {
  std::vector<Ref> items;
};
struct TupleObject {
  std::vector<Ref> items;
};
struct DictObject {
  std::vector<std::pair<Ref, Ref>> entries;
};

using Object = std::variant<std::monostate, bool, int64_t, double, std::string, Global, Storage, StoredTensor,
                            ListObject, TupleObject, DictObject, Opaque>;
using Objects = std::deque<Object>;

// Builders: what REDUCE and BINPERSID make of their arguments. Failure: arguments that PyTorch never writes.
Result<Object> call(const Objects& objects, const std::string& function, const std::vector<Ref>& arguments);
Result<Object> load_persistent(const Objects& objects, const std::vector<Ref>& id);

// The tree below `root`, in about `max_bytes` of memory at most. Failure: nesting beyond 100 levels (a container within
// itself included), sharing that would need more memory, a key that appears twice.
Result<StoredTree> to_tree(const Objects& objects, Ref root, size_t max_bytes);

}  // namespace ferrun::checkpoint::pickle
