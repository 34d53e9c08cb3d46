#include "worker/data/image_folder.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "worker/data/image_file.h"

namespace ferrun::data {
namespace {

namespace fs = std::filesystem;

// torchvision's IMG_EXTENSIONS. Files of a type that cannot be decoded are listed too, so that indices agree; loading
// one says what it is.
constexpr std::array<std::string_view, 9> kExtensions = {".jpg", ".jpeg", ".png",  ".ppm", ".bmp",
                                                         ".pgm", ".tif",  ".tiff", ".webp"};

bool has_picture_extension(std::string name) {
  for (char& letter : name) {
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  }
  return std::any_of(kExtensions.begin(), kExtensions.end(),
                     [&](std::string_view extension) { return name.ends_with(extension); });
}

Error folder_error(const std::string& path, const std::string& reason) {
  return Error{ErrorKind::kUser, path + ": " + reason};
}

struct Listing {
  std::vector<std::string> folders;
  std::vector<std::string> files;
};

// Names in `directory`, each list sorted by bytes, which for UTF-8 is Python's order of str. Links count as what they
// point to; a dangling one is a file.
Result<Listing> list_directory(const std::string& directory) {
  std::error_code error;
  fs::directory_iterator entries(directory, error);
  Listing listing;
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    std::error_code dangling;
    const bool is_folder = entries->is_directory(dangling);
    (is_folder ? listing.folders : listing.files).push_back(entries->path().filename().string());
  }
  if (error) return folder_error(directory, "cannot be listed: " + error.message());
  std::sort(listing.folders.begin(), listing.folders.end());
  std::sort(listing.files.begin(), listing.files.end());
  return listing;
}

// A link to a folder above itself would be walked for ever.
bool leads_back(const std::string& path) {
  std::error_code error;
  if (!fs::is_symlink(path, error)) return false;
  const std::string target = fs::canonical(path, error).string() + "/";
  const std::string parent = fs::canonical(fs::path(path).parent_path(), error).string() + "/";
  return parent.starts_with(target);
}

// Adds `directory` and every folder below it, in no order.
Status collect_folders(const std::string& directory,
                       std::vector<std::pair<std::string, std::vector<std::string>>>& found) {
  Result<Listing> listing = list_directory(directory);
  if (!listing) return listing.error();
  found.emplace_back(directory, std::move(listing->files));
  for (const std::string& folder : listing->folders) {
    const std::string path = directory + "/" + folder;
    if (leads_back(path)) return folder_error(path, "is a link to a folder above itself");
    if (Status below = collect_folders(path, found); !below) return below;
  }
  return ok_status();
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string without_trailing_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

bool is_directory(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

// The first layout below `directory` whose folders are both there, as the pair's names.
std::optional<std::pair<std::string, std::string>> find_layout(const std::string& directory) {
  constexpr std::array<std::pair<const char*, const char*>, 4> kLayouts = {
      {{"train", "val"}, {"train", "validation"}, {"train/train", "test/test"}, {"train", "test"}}};
  for (const auto& [train, val] : kLayouts) {
    const std::string train_path = directory + "/" + train;
    const std::string val_path = directory + "/" + val;
    if (is_directory(train_path) && is_directory(val_path)) return std::pair(train_path, val_path);
  }
  return std::nullopt;
}

std::vector<std::string> missing_from(const std::vector<std::string>& all, const std::vector<std::string>& some) {
  std::vector<std::string> missing;
  std::set_difference(all.begin(), all.end(), some.begin(), some.end(), std::back_inserter(missing));
  return missing;
}

Status check_same_classes(const ImageFolder& train, const std::string& train_path, const ImageFolder& val,
                          const std::string& val_path) {
  if (train.classes() == val.classes()) return ok_status();
  const std::vector<std::string> lacking = missing_from(train.classes(), val.classes());
  const std::vector<std::string> extra = missing_from(val.classes(), train.classes());
  std::string difference;
  if (!lacking.empty()) difference = "lacks " + joined(lacking);
  if (!extra.empty()) difference += (difference.empty() ? "has also " : " and has also ") + joined(extra);
  return folder_error(val_path, difference + "; it must have the same class folders as " + train_path);
}

}  // namespace

Status ImageFolder::list_class(const std::string& directory, int label) {
  std::vector<std::pair<std::string, std::vector<std::string>>> found;
  if (Status collected = collect_folders(directory, found); !collected) return collected;
  // torchvision sorts the folders by their whole path: "a-b" comes before "a/b".
  std::sort(found.begin(), found.end());
  const size_t before = files_.size();
  for (auto& [folder, names] : found) {
    for (std::string& name : names) {
      if (has_picture_extension(name))
        files_.push_back({static_cast<uint32_t>(folders_.size()), label, std::move(name)});
    }
    folders_.push_back(std::move(folder));
  }
  if (files_.size() == before)
    return folder_error(directory, "has no picture (.jpg, .jpeg, .png); every class folder needs at least one");
  return ok_status();
}

Result<std::shared_ptr<const ImageFolder>> ImageFolder::open(const std::string& directory) {
  const std::string root = without_trailing_slashes(directory);
  if (!is_directory(root))
    return folder_error(root, "no such directory; expected a folder with one folder of pictures per class");
  Result<Listing> listing = list_directory(root);
  if (!listing) return listing.error();
  if (listing->folders.empty())
    return folder_error(root, "has no class folders; expected one folder of pictures per class");
  std::shared_ptr<ImageFolder> opened(new ImageFolder);
  opened->classes_ = std::move(listing->folders);
  for (size_t label = 0; label < opened->classes_.size(); ++label) {
    const std::string path = root + "/" + opened->classes_[label];
    if (Status listed = opened->list_class(path, static_cast<int>(label)); !listed) return listed.error();
  }
  opened->files_.shrink_to_fit();
  return std::shared_ptr<const ImageFolder>(std::move(opened));
}

Result<Split> ImageFolder::open_split(const std::string& directory) {
  const std::string root = without_trailing_slashes(directory);
  if (!is_directory(root))
    return folder_error(root, "no such directory; --data expects a folder that holds train/ and val/");
  const auto layout = find_layout(root);
  if (!layout) {
    return folder_error(root,
                        "expected train/ with val/, validation/ or test/ below it (or train/train with test/test), one "
                        "folder per class in each");
  }
  const auto& [train_path, val_path] = *layout;
  auto train = open(train_path);
  if (!train) return train.error();
  auto val = open(val_path);
  if (!val) return val.error();
  if (Status same = check_same_classes(**train, train_path, **val, val_path); !same) return same.error();
  return Split{*train, *val};
}

std::string ImageFolder::name(int64_t index) const {
  const File& file = files_[static_cast<size_t>(index)];
  return folders_[file.folder] + "/" + file.name;
}

Status ImageFolder::load_into(int64_t index, Image& image) const { return read_image(name(index), image); }

}  // namespace ferrun::data
