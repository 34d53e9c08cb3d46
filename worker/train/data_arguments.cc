#include "worker/train/data_arguments.h"

#include <cstdlib>
#include <sstream>
#include <utility>
#include <vector>

#include "worker/data/recipe.h"
#include "worker/data/subset.h"

namespace ferrun::train {
namespace {

constexpr int64_t kMostPixels = int64_t{1} << 40;

std::vector<double> shares_of(const std::string& text) {
  const auto refuse = [](const std::string& why) { throw CLI::ValidationError("--split", why); };
  std::vector<double> shares;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    if (const std::string wrong = RealNumber(0, 1)(word); !wrong.empty()) refuse(wrong);
    shares.push_back(std::strtod(word.c_str(), nullptr));
  }
  if (shares.size() < 2 || shares.size() > 3) {
    refuse("'" + text + "' is not two or three shares, to train, to validate and to test, as 0.8,0.1,0.1");
  }
  if (!data::are_fractions_of_one(shares)) refuse("'" + text + "' does not sum to 1, as 0.8,0.1,0.1");
  return shares;
}

int loader_threads_of(const std::string& word) {
  if (word == "auto") return DataOptions::kAutoWorkers;
  std::string number = word;
  if (const std::string wrong = WholeNumber(0, 256)(number); !wrong.empty()) {
    throw CLI::ValidationError("--num-workers", wrong);
  }
  return static_cast<int>(std::strtol(number.c_str(), nullptr, 10));
}

}  // namespace

void add_decode_options(CLI::App& app, int64_t& max_pixels, std::optional<bool>& exif_orientation,
                        const std::string& fallback) {
  add_switch(app, "exif-orientation", exif_orientation, "Turn JPEGs upright as their EXIF data says",
             "Leave them as they are stored (default: " + fallback + ")");
  app.add_option("--max-pixels", max_pixels, "Pictures of more pixels are refused before they take memory")
      ->transform(WholeNumber(1, kMostPixels));
}

void add_data_options(CLI::App& app, DataOptions& data, TransformsRequest& transforms) {
  app.option_defaults()->group("Data");
  app.add_option("--data", data.directory,
                 "A folder with train/ and val/ (or valid/, validation/), one folder of pictures per class. "
                 "Default: faces drawn by the program")
      ->transform(GivenPath())
      ->type_name("DIR");
  app.add_option("--image-size", data.image_size,
                 "Pixels of a picture's side, a multiple of 32 (default: 224; drawn faces: 64)")
      ->transform(WholeNumber(1, kLargestSide));
  app.add_option("--faces", data.faces_per_class, "Drawn training faces per class; a fifth of it to validate")
      ->transform(WholeNumber(1, kMostPictures))
      ->default_str(std::to_string(kDefaultFaces));
  app.add_option_function<std::string>(
         "--num-workers", [&data](const std::string& word) { data.num_workers = loader_threads_of(word); },
         "Threads of a rank that read pictures; 0: read between steps; auto: its cores that do not compute (default: 1, "
         "on a GPU auto)")
      ->type_name("N|auto");
  app.add_option("--cache", data.cache_mib,
                 "MiB of decoded pictures that a rank keeps, so that they are decoded once; 0: none (default: 0, on a "
                 "GPU 1024)")
      ->transform(WholeNumber(0, int64_t{1} << 30))
      ->default_str("")
      ->type_name("MIB");
  add_choice<data::BadImages>(app, "--bad-images", data.bad_images,
                              {{"fail", data::BadImages::kFail}, {"skip", data::BadImages::kSkip}},
                              "A picture that cannot be read ends the run, or is left out and counted (default: fail)");
  app.add_option_function<std::string>(
         "--split", [&data](const std::string& text) { data.split = shares_of(text); },
         "Divide a folder that has nothing to validate on: shares to train, validate and test, drawn as torch's "
         "random_split draws them")
      ->type_name("A,B[,C]");
  app.add_option("--transforms", transforms.file, "What is done to pictures, in JSON; --print-transforms writes one")
      ->type_name("FILE");
  app.add_flag("--print-transforms", transforms.print, "Print the transforms as JSON, and end");
  add_decode_options(app, data.max_pixels, data.exif_orientation, "the checkpoint's, else as stored");
}

Result<std::string> settle(const TransformsRequest& request, DataOptions& data) {
  if (!data.split.empty() && data.directory.empty()) return usage_error("--split divides a folder: give --data too");
  if (!request.file.empty()) {
    Result<data::Recipe> recipe = data::read_recipe(request.file);
    if (!recipe) return recipe.error();
    if (data.image_size && *data.image_size != recipe->size()) {
      return usage_error("--image-size " + std::to_string(*data.image_size) + ": the pictures of --transforms " +
                         request.file + " have " + std::to_string(recipe->size()) + "; leave --image-size out");
    }
    data.image_size = recipe->size();
    data.transforms = std::move(*recipe);
  }
  if (!request.print) return std::string();
  const std::string text = data::recipe_text(data.recipe());
  const Result<data::Recipe> readable = data::parse_recipe(text, "--image-size " + std::to_string(data.size()));
  return readable ? Result<std::string>(text) : readable.error();
}

}  // namespace ferrun::train
