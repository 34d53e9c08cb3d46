#include "worker/data/recipe.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

namespace ferrun::data {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostBytes = size_t{1} << 20;
constexpr int kNetworkReduction = 32;  // EmotionNet halves the sides five times
constexpr const char* kNames =
    "Resize, CenterCrop, RandomCrop, RandomHorizontalFlip, RandomVerticalFlip, RandomRotation, RandomAffine, ToTensor, "
    "Normalize";

// Within this file a bad entry leaves by an exception, past the readers of its parts; parse_recipe turns it into an
// Error.
struct BadEntry : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A word of the file's for a message: control characters escaped, so that the message stays one line.
std::string quoted(const std::string& word) { return Json(word).dump(); }

// One step's arguments, each read by name.
class Arguments {
 public:
  explicit Arguments(const Json& entry) : entry_(entry) {}

  void allow(std::initializer_list<const char*> names) const {
    std::string list;
    for (const char* const name : names) list += (list.empty() ? "" : ", ") + std::string(name);
    for (const auto& item : entry_.items()) {
      bool known = item.key() == "name";
      for (const char* const name : names) known = known || item.key() == name;
      if (!known) {
        throw BadEntry("there is no " + quoted(item.key()) + "; " +
                       (list.empty() ? "it takes no arguments" : "allowed: " + list));
      }
    }
  }

  // A list of as many numbers as one of `lengths` says; a lone number is a list of one.
  std::vector<double> numbers(const char* name, std::initializer_list<size_t> lengths, const char* allowed) const {
    const Json& value = wanted(name, allowed);
    std::vector<double> list;
    const auto take = [&](const Json& item) {
      if (!item.is_number()) throw BadEntry(std::string("\"") + name + "\" must be " + allowed);
      list.push_back(item.get<double>());
    };
    if (value.is_array()) {
      for (const Json& item : value) take(item);
    } else {
      take(value);
    }
    for (const size_t length : lengths) {
      if (list.size() == length && (length > 1 || !value.is_array())) return list;
    }
    throw BadEntry(std::string("\"") + name + "\" must be " + allowed);
  }

  // A side, or [height, width]: one or two numbers.
  std::vector<int> size() const {
    constexpr const char* kAllowed = "a whole number of pixels or [height, width]";
    std::vector<int> sides;
    for (const double side : numbers("size", {1, 2}, kAllowed)) {
      // Compared before it is narrowed: 1e300 is a number too.
      if (!(side > -1e9 && side < 1e9) || side != std::trunc(side))
        throw BadEntry(std::string("\"size\" must be ") + kAllowed);
      sides.push_back(static_cast<int>(side));
    }
    return sides;
  }

  double probability() const {
    return has("p") ? numbers("p", {1}, "a number from 0 to 1").front() : RandomHorizontalFlip{}.p;
  }

  // A number x for −x … x, or [low, high].
  std::array<double, 2> angles(const char* name) const {
    const std::vector<double> list = numbers(name, {1, 2}, "a number of degrees or [low, high]");
    if (list.size() == 2) return {list[0], list[1]};
    if (list[0] < 0) throw BadEntry(std::string("\"") + name + "\" must not be negative, or be [low, high]");
    return {-list[0], list[0]};
  }

  std::array<double, 2> pair(const char* name, const char* allowed) const {
    const std::vector<double> list = numbers(name, {2}, allowed);
    return {list[0], list[1]};
  }

  std::array<double, 3> channels(const char* name) const {
    const std::vector<double> list = numbers(name, {3}, "three numbers, for R, G and B");
    return {list[0], list[1], list[2]};
  }

  bool has(const char* name) const { return entry_.contains(name); }

 private:
  const Json& wanted(const char* name, const char* allowed) const {
    if (!has(name)) throw BadEntry(std::string("\"") + name + "\" is missing: " + allowed);
    return entry_.at(name);
  }

  const Json& entry_;
};

RandomAffine affine_step(const Arguments& arguments) {
  arguments.allow({"degrees", "translate", "scale", "shear"});
  RandomAffine step;
  step.degrees = arguments.angles("degrees");
  if (arguments.has("translate")) step.translate = arguments.pair("translate", "two shares [of width, of height]");
  if (arguments.has("scale")) step.scale = arguments.pair("scale", "[low, high]");
  if (arguments.has("shear")) {
    constexpr const char* kAllowed = "a number of degrees, [low, high], or [x low, x high, y low, y high]";
    const std::vector<double> list = arguments.numbers("shear", {1, 2, 4}, kAllowed);
    step.shear_x = list.size() == 4 ? std::array{list[0], list[1]} : arguments.angles("shear");
    if (list.size() == 4) step.shear_y = {list[2], list[3]};
  }
  return step;
}

Step step_of(const std::string& name, const Arguments& arguments) {
  if (name == "Resize") {
    arguments.allow({"size"});
    const std::vector<int> size = arguments.size();
    return size.size() == 1 ? Resize{size[0], {}} : Resize{size[0], size[1]};
  }
  if (name == "CenterCrop" || name == "RandomCrop") {
    arguments.allow({"size"});
    const std::vector<int> size = arguments.size();
    if (name == "CenterCrop") return CenterCrop{size.front(), size.back()};
    return RandomCrop{size.front(), size.back()};
  }
  if (name == "RandomHorizontalFlip" || name == "RandomVerticalFlip") {
    arguments.allow({"p"});
    const double p = arguments.probability();
    if (name == "RandomHorizontalFlip") return RandomHorizontalFlip{p};
    return RandomVerticalFlip{p};
  }
  if (name == "RandomRotation") {
    arguments.allow({"degrees"});
    const std::array<double, 2> degrees = arguments.angles("degrees");
    return RandomRotation{degrees[0], degrees[1]};
  }
  if (name == "RandomAffine") return affine_step(arguments);
  if (name == "ToTensor") {
    arguments.allow({});
    return ToTensor{};
  }
  if (name == "Normalize") {
    arguments.allow({"mean", "std"});
    return Normalize{arguments.channels("mean"), arguments.channels("std")};
  }
  throw BadEntry("there is no such transform; allowed: " + std::string(kNames));
}

std::string square(int side) { return std::to_string(side) + " x " + std::to_string(side); }

Status check_network_size(const Transform& transform, const std::string& source) {
  if (transform.size() % kNetworkReduction == 0) return ok_status();
  return usage_error(source + ": the pictures would have " + square(transform.size()) +
                     " pixels; the network takes squares whose side is a multiple of 32");
}

// `place` is where the list stands, for messages.
Result<Transform> transform_of(const Json& list, const std::string& place) {
  if (!list.is_array()) return usage_error(place + " is missing: a list of transforms");
  std::vector<Step> steps;
  for (const Json& entry : list) {
    const std::string at = place + "[" + std::to_string(steps.size()) + "]";
    if (!entry.is_object() || !entry.contains("name") || !entry.at("name").is_string())
      return usage_error(at + ": must be an object with a \"name\"; allowed: " + kNames);
    const auto name = entry.at("name").get<std::string>();
    try {
      steps.push_back(step_of(name, Arguments(entry)));
    } catch (const BadEntry& bad) {
      const std::string word = quoted(name);
      return usage_error(at + " (" + word.substr(1, word.size() - 2) + "): " + bad.what());
    }
  }
  Result<Transform> transform = Transform::compose(std::move(steps));
  if (transform) return transform;
  const std::string& reason = transform.error().message;
  return usage_error(place + (reason.starts_with('[') ? "" : ": ") + reason);
}

Json list_in(const Json& document, const char* name) { return document.contains(name) ? document.at(name) : Json(); }

Result<Recipe> recipe_of(const Json& document, const std::string& source) {
  if (!document.is_object()) return usage_error(source + ": must be an object with \"train\" and \"validation\"");
  for (const auto& item : document.items()) {
    if (item.key() != "train" && item.key() != "validation")
      return usage_error(source + ": there is no " + quoted(item.key()) + "; allowed: train, validation");
  }
  Result<Transform> train = transform_of(list_in(document, "train"), source + ": train");
  if (!train) return train.error();
  Result<Transform> validation = transform_of(list_in(document, "validation"), source + ": validation");
  if (!validation) return validation.error();
  if (train->size() != validation->size()) {
    return usage_error(source + ": train gives pictures of " + square(train->size()) + " and validation of " +
                       square(validation->size()) + "; both must have one size");
  }
  if (Status fits = check_network_size(*train, source); !fits) return fits.error();
  return Recipe{std::move(*train), std::move(*validation)};
}

Json lone_or_pair(double low, double high) { return low == -high ? Json(high) : Json{low, high}; }

Json size_of(int height, int width) { return height == width ? Json(height) : Json{height, width}; }

Json entry_of(const Step& step) {
  Json entry = {{"name", step_name(step)}};
  if (const auto* const resize = std::get_if<Resize>(&step)) {
    entry["size"] = resize->width ? Json{resize->height, *resize->width} : Json(resize->height);
  } else if (const auto* const centre = std::get_if<CenterCrop>(&step)) {
    entry["size"] = size_of(centre->height, centre->width);
  } else if (const auto* const random = std::get_if<RandomCrop>(&step)) {
    entry["size"] = size_of(random->height, random->width);
  } else if (const auto* const horizontal = std::get_if<RandomHorizontalFlip>(&step)) {
    entry["p"] = horizontal->p;
  } else if (const auto* const vertical = std::get_if<RandomVerticalFlip>(&step)) {
    entry["p"] = vertical->p;
  } else if (const auto* const rotation = std::get_if<RandomRotation>(&step)) {
    entry["degrees"] = lone_or_pair(rotation->low, rotation->high);
  } else if (const auto* const affinity = std::get_if<RandomAffine>(&step)) {
    entry["degrees"] = lone_or_pair(affinity->degrees[0], affinity->degrees[1]);
    if (affinity->translate) entry["translate"] = *affinity->translate;
    if (affinity->scale) entry["scale"] = *affinity->scale;
    if (affinity->shear_y) {
      entry["shear"] = {(*affinity->shear_x)[0], (*affinity->shear_x)[1], (*affinity->shear_y)[0],
                        (*affinity->shear_y)[1]};
    } else if (affinity->shear_x) {
      entry["shear"] = lone_or_pair((*affinity->shear_x)[0], (*affinity->shear_x)[1]);
    }
  } else if (const auto* const normal = std::get_if<Normalize>(&step)) {
    entry["mean"] = normal->mean;
    entry["std"] = normal->stddev;
  }
  return entry;
}

std::string list_text(const Transform& transform) {
  std::string text;
  for (const Step& step : transform.steps()) text += (text.empty() ? "\n    " : ",\n    ") + entry_of(step).dump();
  return "[" + text + "\n  ]";
}

Result<Json> json_of(const std::string& text, const std::string& source) {
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {  // a number that no double holds is out_of_range, not parse_error
    // "[json.exception.parse_error.101] parse error at line 3, column 5: …"
    const std::string what = error.what();
    return usage_error(source + ": is no JSON: " + what.substr(what.find("] ") + 2));
  }
}

}  // namespace

Result<Recipe> parse_recipe(const std::string& text, const std::string& source) {
  const Result<Json> json = json_of(text, source);
  return json ? recipe_of(*json, source) : json.error();
}

Result<Transform> parse_transform(const std::string& text, const std::string& source) {
  const Result<Json> json = json_of(text, source);
  if (!json) return json.error();
  Result<Transform> transform = transform_of(*json, source);
  if (!transform) return transform;
  if (Status fits = check_network_size(*transform, source); !fits) return fits.error();
  return transform;
}

Result<Recipe> read_recipe(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text(kMostBytes + 1, '\0');
  if (file) file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad()) {
    return usage_error("--transforms " + path + ": cannot be read: " + std::strerror(errno));
  }
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kMostBytes)
    return usage_error("--transforms " + path + ": has more than a mebibyte; is it a recipe?");
  return parse_recipe(text, path);
}

std::string recipe_text(const Recipe& recipe) {
  return "{\n  \"train\": " + list_text(recipe.train) + ",\n  \"validation\": " + list_text(recipe.validation) +
         "\n}\n";
}

std::string transform_text(const Transform& transform) {
  std::string text;
  for (const Step& step : transform.steps()) text += (text.empty() ? "" : ", ") + entry_of(step).dump();
  return "[" + text + "]";
}

}  // namespace ferrun::data
