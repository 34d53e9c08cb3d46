// What a PyTorch checkpoint holds, as a tree of plain values. The kind of leaf that stands for a tensor is a parameter:
// the file-format code knows only a tensor's place in the file, the trainer has the tensor itself.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace ferrun::checkpoint {

// An object of a class that the reader does not know: kept by name, never executed.
struct Opaque {
  std::string qualified_name;
};

template <typename Tensor>
struct Tree {
  using List = std::vector<Tree>;
  struct Tuple {
    List items;
  };
  // In insertion order, as Python's dict; keys are strings or integers (optimizer state).
  using Dict = std::vector<std::pair<Tree, Tree>>;

  std::variant<std::monostate, bool, int64_t, double, std::string, Tensor, List, Tuple, Dict, Opaque> held;

  Tree() = default;
  template <typename T>
  Tree(T value) : held(std::move(value)) {}            // NOLINT: a plain value is a tree
  Tree(int value) : held(int64_t{value}) {}            // NOLINT
  Tree(const char* text) : held(std::string(text)) {}  // NOLINT

  bool is_none() const { return std::holds_alternative<std::monostate>(held); }
  template <typename T>
  const T* get() const {
    return std::get_if<T>(&held);
  }
  template <typename T>
  T* get() {
    return std::get_if<T>(&held);
  }

  // The entry of a Dict with this string key; nullptr when there is none or this is no Dict.
  const Tree* find(const std::string& key) const {
    const Dict* dict = get<Dict>();
    if (dict == nullptr) return nullptr;
    for (const auto& [name, value] : *dict) {
      const std::string* text = name.template get<std::string>();
      if (text != nullptr && *text == key) return &value;
    }
    return nullptr;
  }
  Tree* find(const std::string& key) { return const_cast<Tree*>(std::as_const(*this).find(key)); }
};

// Calls visit(tensor) for every tensor, in order.
template <typename Tensor, typename Visit>
void for_each_tensor(const Tree<Tensor>& tree, Visit&& visit) {
  const auto visit_all = [&](const typename Tree<Tensor>::List& items) {
    for (const Tree<Tensor>& item : items) for_each_tensor(item, visit);
  };
  if (const auto* tensor = tree.template get<Tensor>()) visit(*tensor);
  if (const auto* list = tree.template get<typename Tree<Tensor>::List>()) visit_all(*list);
  if (const auto* tuple = tree.template get<typename Tree<Tensor>::Tuple>()) visit_all(tuple->items);
  if (const auto* dict = tree.template get<typename Tree<Tensor>::Dict>()) {
    for (const auto& [key, value] : *dict) {
      for_each_tensor(key, visit);
      for_each_tensor(value, visit);
    }
  }
}

// The same tree with every tensor replaced by convert(tensor).
template <typename To, typename From, typename Convert>
Tree<To> map_tensors(const Tree<From>& tree, Convert&& convert) {
  const auto map_list = [&](const typename Tree<From>::List& items) {
    typename Tree<To>::List mapped;
    for (const Tree<From>& item : items) mapped.push_back(map_tensors<To>(item, convert));
    return mapped;
  };
  return std::visit(
      [&]<typename Held>(const Held& held) -> Tree<To> {
        if constexpr (std::is_same_v<Held, From>) {
          return convert(held);
        } else if constexpr (std::is_same_v<Held, typename Tree<From>::List>) {
          return map_list(held);
        } else if constexpr (std::is_same_v<Held, typename Tree<From>::Tuple>) {
          return typename Tree<To>::Tuple{map_list(held.items)};
        } else if constexpr (std::is_same_v<Held, typename Tree<From>::Dict>) {
          typename Tree<To>::Dict mapped;
          for (const auto& [key, value] : held) {
            mapped.emplace_back(map_tensors<To>(key, convert), map_tensors<To>(value, convert));
          }
          return mapped;
        } else {
          return held;
        }
      },
      tree.held);
}

}  // namespace ferrun::checkpoint
