// The environment of a process as a value: built before the spawn, never written into ferrun's own process.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ferrun {

class Environment {
 public:
  Environment() = default;

  // `block` is a null-terminated array of "NAME=value" (the shape of `environ`). An entry without '=' is dropped;
  // of a repeated name the first counts, as in getenv(3).
  static Environment from_block(const char* const* block);

  std::optional<std::string> get(std::string_view name) const;
  std::string get_or(std::string_view name, std::string_view fallback) const;
  bool contains(std::string_view name) const { return variables_.find(name) != variables_.end(); }
  void set(std::string_view name, std::string_view value);
  void erase(std::string_view name);

  // "NAME=value" strings, sorted by name: equal environments give equal blocks.
  std::vector<std::string> to_strings() const;

  const std::map<std::string, std::string, std::less<>>& variables() const { return variables_; }
  bool operator==(const Environment&) const = default;

 private:
  std::map<std::string, std::string, std::less<>> variables_;
};

}  // namespace ferrun
