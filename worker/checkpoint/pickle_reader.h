// A pickle machine for what torch.save writes (protocol 2). Nothing in the file is executed: a closed list of PyTorch's
// and Python's builders is understood, objects of any other class become Opaque.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "common/result.h"
#include "worker/checkpoint/stored_tensor.h"

namespace ferrun::checkpoint {

// The value that the pickle builds; every StoredTensor in it has passed check_layout against the storage length that
// the pickle itself claims. Failure is one line. Time and memory are bounded by a multiple of the input's length:
// shared, nested or self-containing containers cannot multiply them.
Result<StoredTree> read_pickle(std::span<const uint8_t> pickle);

// The same for protocols 2 to 5 and with objects kept as what they are made of, as torch.distributed.checkpoint's
// metadata needs it: {"__class__": "module.name", "__state__": what its class would be given}, without the state where
// the pickle has none. Sizes and paths are not told apart from tuples and unknown objects.
Result<StoredTree> read_object_pickle(std::span<const uint8_t> pickle);
inline constexpr const char* kClassKey = "__class__";
inline constexpr const char* kStateKey = "__state__";

// The pickle that `input` begins with; something else may follow it.
struct FirstPickle {
  StoredTree tree;
  size_t bytes = 0;  // its length
  // Bytes of one element by storage key, of every storage that it names, also in objects that became Opaque.
  std::map<std::string, uint64_t> element_bytes;
};
Result<FirstPickle> read_first_pickle(std::span<const uint8_t> input);

}  // namespace ferrun::checkpoint
