#include "worker/checkpoint/weight_index.h"

#include <nlohmann/json.hpp>

namespace ferrun::checkpoint {

bool is_weight_index(const std::string& path) { return path.ends_with(".index.json"); }

Result<std::map<std::string, std::vector<std::string>>> read_weight_index(std::string_view text) {
  const auto no_index = [](const std::string& what) {
    return Error{ErrorKind::kUser, "is no index of a model's files: " + what};
  };
  const nlohmann::json parsed = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto weights = parsed.is_object() ? parsed.find("weight_map") : parsed.end();
  if (!parsed.is_object() || weights == parsed.end() || !weights->is_object() || weights->empty()) {
    return no_index("it has no weight_map");
  }
  std::map<std::string, std::vector<std::string>> files;
  for (const auto& [name, file] : weights->items()) {
    if (!file.is_string()) return no_index("'" + name + "' has no file");
    const std::string place = file.get<std::string>();
    if (place.empty() || place == "." || place == ".." || place.find_first_of(std::string("/\\\0", 3)) != place.npos) {
      return no_index("the file of '" + name + "' is not beside it");
    }
    files[place].push_back(name);
  }
  return files;
}

}  // namespace ferrun::checkpoint
