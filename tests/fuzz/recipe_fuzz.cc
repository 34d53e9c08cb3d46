// Recipes of transforms: whatever the text is, it is refused in one line or comes back from its own text, and does what
// it says to a picture without leaving memory.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "worker/data/recipe.h"

namespace {

void demand(bool condition) {
  if (!condition) std::abort();
}

// The most pixels that a step of the list makes, where it says so itself.
int64_t most_pixels(const ferrun::data::Transform& transform) {
  int64_t most = 0;
  const auto see = [&](int height, int width) { most = std::max(most, int64_t{height} * width); };
  for (const ferrun::data::Step& step : transform.steps()) {
    if (const auto* const it = std::get_if<ferrun::data::Resize>(&step))
      see(it->height, it->width.value_or(it->height));
    if (const auto* const it = std::get_if<ferrun::data::CenterCrop>(&step)) see(it->height, it->width);
    if (const auto* const it = std::get_if<ferrun::data::RandomCrop>(&step)) see(it->height, it->width);
  }
  return most;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ferrun::data;            // NOLINT: a program about this one namespace
  constexpr int64_t kLargest = 256 * 256;  // larger results only take longer
  const ferrun::Result<Recipe> recipe = parse_recipe({reinterpret_cast<const char*>(data), size}, "r.json");
  if (!recipe) {
    demand(!recipe.error().message.empty());
    demand(recipe.error().message.find('\n') == std::string::npos);
    return 0;
  }
  const ferrun::Result<Recipe> again = parse_recipe(recipe_text(*recipe), "r.json");
  demand(again.ok() && *again == *recipe);
  for (const Transform& transform : {recipe->train, recipe->validation}) {
    if (most_pixels(transform) > kLargest) continue;
    Image image{37, 23, std::vector<uint8_t>(37 * 23 * 3, 100)};
    const auto side = static_cast<size_t>(transform.size());
    std::vector<float> out(3 * side * side), stepwise(3 * side * side);
    const bool done = transform.apply(image, size, size % 2 == 0, out.data()).ok();
    demand(done == transform.apply_stepwise(image, size, size % 2 == 0, stepwise.data()).ok());
    if (done) demand(out == stepwise);
  }
  return 0;
}
