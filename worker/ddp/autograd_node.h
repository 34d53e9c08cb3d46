// Makes a node of the autograd graph with the owner that this LibTorch's graph has: 2.11 counts a node's owners by
// std::shared_ptr, 2.15 within the node itself.
// Thread rule: none of its own.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <memory>
#include <type_traits>
#include <utility>

namespace ferrun::ddp {

// `Node`: a class of one's own that derives from torch::autograd::Node. What set_history() and Edge take.
template <class Node, class... Arguments>
auto make_node(Arguments&&... arguments) {
  if constexpr (std::is_base_of_v<c10::intrusive_ptr_target, Node>) {
    return c10::make_intrusive<Node>(std::forward<Arguments>(arguments)...);
  } else {
    return std::make_shared<Node>(std::forward<Arguments>(arguments)...);
  }
}

}  // namespace ferrun::ddp
