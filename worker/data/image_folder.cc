#include "worker/data/image_folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

#include "worker/data/folder_names.h"
#include "worker/data/subset.h"

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
  return Error{ErrorKind::kUser, printable(path) + ": " + reason};
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

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + printable(name);
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

std::string convmv(const std::string& change, const std::string& path) {
  return "convmv " + change + " -r --notest '" + printable(path) + "'";
}

// What a checkpoint would carry on to Python has to be readable there.
Status check_class_names(const std::string& root, const std::vector<std::string>& names) {
  std::map<std::string, std::string> by_form;
  for (const std::string& name : names) {
    if (!is_utf8(name)) {
      return folder_error(root + "/" + name,
                          "the class folder's name is no UTF-8, so Python could not read it from a checkpoint; rename "
                          "it (an old Latin-1 name: " +
                              convmv("-f latin1 -t utf8", root) + ")");
    }
    const auto [other, fresh] = by_form.emplace(composed(name), name);
    if (!fresh) {
      return folder_error(root, "two class folders have the same name, " + name +
                                    ", in two Unicode forms (NFC and NFD, as macOS writes it); put their pictures into "
                                    "one of them");
    }
  }
  return ok_status();
}

std::vector<std::string> missing_from(const std::vector<std::string>& all, const std::vector<std::string>& some) {
  std::vector<std::string> missing;
  std::set_difference(all.begin(), all.end(), some.begin(), some.end(), std::back_inserter(missing));
  return missing;
}

Status check_same_classes(const ImageFolder& train, const std::string& train_path, const ImageFolder& other,
                          const std::string& other_path) {
  if (train.classes() == other.classes()) return ok_status();
  const std::vector<std::string> lacking = missing_from(train.classes(), other.classes());
  const std::vector<std::string> extra = missing_from(other.classes(), train.classes());
  for (const std::string& name : lacking) {
    for (const std::string& twin : extra) {
      if (composed(name) != composed(twin)) continue;
      return folder_error(other_path, "its class folder " + twin + " and that of " + train_path +
                                          " are the same name in two Unicode forms (NFC and NFD, as macOS writes it); "
                                          "rename one: " +
                                          convmv("-f utf8 -t utf8 --nfc", fs::path(train_path).parent_path()));
    }
  }
  std::string difference;
  if (!lacking.empty()) difference = "lacks " + joined(lacking);
  if (!extra.empty()) difference += (difference.empty() ? "has also " : " and has also ") + joined(extra);
  return folder_error(other_path, difference + "; it must have the same class folders as " + printable(train_path));
}

// The folders that hold a data set's parts; empty where there is none.
struct Layout {
  std::string train;
  std::string test;
  std::vector<std::string> validation;
};

Layout find_layout(const std::string& root) {
  Layout layout;
  const auto existing = [&](const std::string& name) {
    return is_directory(root + "/" + name) ? root + "/" + name : std::string();
  };
  // An archive of FER-2013 that goes round has every part's folder within one of the same name.
  const bool doubled = !existing("train/train").empty() && !existing("test/test").empty();
  layout.train = existing(doubled ? "train/train" : "train");
  layout.test = existing(doubled ? "test/test" : "test");
  for (const char* const name : {"val", "valid", "validation"}) {
    if (std::string path = existing(name); !path.empty()) layout.validation.push_back(std::move(path));
  }
  return layout;
}

std::string share_text(const std::vector<double>& split, size_t part) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", split[part]);
  return text;
}

// `whole` in as many parts as options.split has; `path` is where it is from.
Result<Split> split_at_random(const std::shared_ptr<const ImageFolder>& whole, const std::string& path,
                              const FolderOptions& options) {
  const auto parts = random_split(whole, options.split, options.seed);
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i]->size() > 0) continue;
    constexpr std::array<const char*, 3> kPurposes = {"train on", "validate", "test"};
    return folder_error(path, "--split leaves nothing to " + std::string(kPurposes[i]) + " of its " +
                                  std::to_string(whole->size()) + " pictures");
  }
  Split split{parts[0], parts[1], parts.size() > 2 ? parts[2] : nullptr};
  split.validation =
      share_text(options.split, 1) + " of " + printable(path) + ", drawn by seed " + std::to_string(options.seed);
  split.notes = whole->notes();
  return split;
}

// test/ chooses nothing, so what is wrong with it ends no run.
void add_test(const Layout& layout, const ImageFolder& train, const FolderOptions& options, Split& split) {
  if (layout.test.empty()) return;
  auto test = ImageFolder::open(layout.test, options.decode);
  Status usable = test ? check_same_classes(train, layout.train, **test, layout.test) : Status(test.error());
  if (!usable) {
    split.notes.push_back("no test pictures: " + usable.error().message);
    return;
  }
  split.notes.insert(split.notes.end(), (*test)->notes().begin(), (*test)->notes().end());
  split.test = *test;
}

Status check_layout(const std::string& root, const Layout& layout, const FolderOptions& options) {
  const size_t shares = options.split.size();
  if (layout.validation.size() > 1) {
    return folder_error(root,
                        "holds " + joined(layout.validation) + "; which one validates? Remove or rename the other");
  }
  if (layout.train.empty()) {
    if (shares > 0 && layout.validation.empty()) return ok_status();
    return folder_error(root,
                        "expected train/ and val/ (or valid/, validation/) below it, one folder per class in each; a "
                        "folder of class folders alone is divided with --split 0.8,0.1,0.1");
  }
  if (!layout.validation.empty()) {
    return shares == 0 ? ok_status()
                       : folder_error(layout.validation.front(), "validates already; leave --split out, or rename it");
  }
  if (shares == 0 && !layout.test.empty()) {
    return folder_error(root,
                        "has train/ and test/ but nothing to validate on, and test pictures never choose a model; add "
                        "val/, or take a part of train/ with --split 0.9,0.1");
  }
  if (shares == 0) {
    return folder_error(
        root,
        "has train/ but no val/ (or valid/, validation/); add it, or take a part of train/ with --split "
        "0.9,0.1");
  }
  if (shares > 2 && !layout.test.empty()) {
    return folder_error(layout.test, "is the test part already; give --split two shares, to train and to validate");
  }
  return ok_status();
}

}  // namespace

// What listing one directory has come across.
struct ImageFolder::Walk {
  std::vector<std::pair<std::string, std::vector<std::string>>> found;  // folders with their files' names
  std::vector<std::pair<dev_t, ino_t>> above;                           // the folders from the class down to here
  std::vector<std::string> skipped;                                     // names left by programs
  std::map<std::string, int64_t> other;                                 // files that are no pictures, by extension

  // Adds `directory` and every folder below it, in no order.
  Status collect(const std::string& directory) {
    struct stat facts {};
    if (::stat(directory.c_str(), &facts) == 0) {
      // A link to a folder above itself, directly or by way of others, would be walked for ever.
      const std::pair self(facts.st_dev, facts.st_ino);
      if (std::find(above.begin(), above.end(), self) != above.end())
        return folder_error(directory, "is a link to a folder above itself");
      above.push_back(self);
    }
    Result<Listing> listing = list_directory(directory);
    if (!listing) return listing.error();
    const size_t depth = above.size();
    for (const std::string& folder : leave_out(listing->folders)) {
      if (Status below = collect(directory + "/" + folder); !below) return below;
      above.resize(depth);
    }
    found.emplace_back(directory, leave_out(listing->files));
    return ok_status();
  }

  // `names` without those left by programs.
  std::vector<std::string> leave_out(std::vector<std::string>& names) {
    const auto kept = std::stable_partition(names.begin(), names.end(),
                                            [](const std::string& name) { return !is_left_by_programs(name); });
    skipped.insert(skipped.end(), kept, names.end());
    return {std::make_move_iterator(names.begin()), std::make_move_iterator(kept)};
  }

  // "left out 12 files that are no pictures by their names (.gif, .jfif), as torchvision does"
  std::string note_of_other() const {
    constexpr size_t kShown = 3;
    int64_t count = 0;
    std::vector<std::string> shown;
    for (const auto& [extension, files] : other) {
      count += files;
      if (shown.size() < kShown) shown.push_back(extension);
    }
    return "left out " + std::to_string(count) +
           (count == 1 ? " file that is no picture" : " files that are no pictures") + " by name (" + joined(shown) +
           (other.size() > kShown ? ", …" : "") + "), as torchvision does";
  }

  // "left out .ipynb_checkpoints, ._0001.jpg and 33 more names of that kind"
  std::string note() {
    constexpr size_t kShown = 2;
    std::sort(skipped.begin(), skipped.end());
    const size_t count = skipped.size();
    skipped.erase(std::unique(skipped.begin(), skipped.end()), skipped.end());
    const size_t shown = std::min(kShown, skipped.size());
    const std::string names = joined({skipped.begin(), skipped.begin() + static_cast<ptrdiff_t>(shown)});
    if (count == shown) return "left out " + names;
    return "left out " + names + " and " + std::to_string(count - shown) + " more hidden files and folders";
  }
};

Status ImageFolder::list_class(const std::string& directory, int label, Walk& walk) {
  walk.found.clear();
  walk.above.clear();
  if (Status collected = walk.collect(directory); !collected) return collected;
  // torchvision sorts the folders by their whole path: "a-b" comes before "a/b".
  std::sort(walk.found.begin(), walk.found.end());
  const size_t before = files_.size();
  for (auto& [folder, names] : walk.found) {
    for (std::string& name : names) {
      if (has_picture_extension(name)) {
        files_.push_back({static_cast<uint32_t>(folders_.size()), label, std::move(name)});
      } else {
        const std::string extension = fs::path(name).extension();
        ++walk.other[extension.empty() ? "no extension" : extension];
      }
    }
    folders_.push_back(std::move(folder));
  }
  if (files_.size() == before)
    return folder_error(directory, "has no picture (.jpg, .jpeg, .png); every class folder needs at least one");
  return ok_status();
}

Result<std::shared_ptr<const ImageFolder>> ImageFolder::open(const std::string& directory,
                                                             const DecodeOptions& options) {
  const std::string root = without_trailing_slashes(directory);
  if (!is_directory(root))
    return folder_error(root, "no such directory; expected a folder with one folder of pictures per class");
  Result<Listing> listing = list_directory(root);
  if (!listing) return listing.error();
  std::shared_ptr<ImageFolder> opened(new ImageFolder);
  Walk walk;
  opened->options_ = options;
  opened->root_length_ = root.size() + 1;
  opened->classes_ = walk.leave_out(listing->folders);
  if (opened->classes_.empty())
    return folder_error(root, "has no class folders; expected one folder of pictures per class");
  if (Status checked = check_class_names(root, opened->classes_); !checked) return checked.error();
  for (size_t label = 0; label < opened->classes_.size(); ++label) {
    const std::string path = root + "/" + opened->classes_[label];
    if (Status listed = opened->list_class(path, static_cast<int>(label), walk); !listed) return listed.error();
  }
  opened->files_.shrink_to_fit();
  if (!walk.other.empty()) opened->notes_.push_back(printable(root) + ": " + walk.note_of_other());
  if (!walk.skipped.empty()) opened->notes_.push_back(printable(root) + ": " + walk.note());
  if (are_misordered_numbers(opened->classes_)) {
    opened->notes_.push_back(printable(root) + ": the class folders are numbers, which are sorted as text, as in " +
                             "torchvision: label 2 is " + opened->classes_[2]);
  }
  return std::shared_ptr<const ImageFolder>(std::move(opened));
}

Result<Split> ImageFolder::open_split(const std::string& directory, const FolderOptions& options) {
  const std::string root = without_trailing_slashes(directory);
  if (!is_directory(root))
    return folder_error(root, "no such directory; --data expects a folder that holds train/ and val/");
  const Layout layout = find_layout(root);
  if (Status checked = check_layout(root, layout, options); !checked) return checked.error();
  const std::string& train_path = layout.train.empty() ? root : layout.train;
  auto train = open(train_path, options.decode);
  if (!train) return train.error();
  if (layout.validation.empty()) {
    Result<Split> split = split_at_random(*train, train_path, options);
    if (split && !layout.train.empty()) add_test(layout, **train, options, *split);
    return split;
  }
  const std::string& val_path = layout.validation.front();
  auto val = open(val_path, options.decode);
  if (!val) return val.error();
  if (Status same = check_same_classes(**train, train_path, **val, val_path); !same) return same.error();
  Split split{*train, *val};
  split.validation = printable(val_path);
  split.notes = (*train)->notes();
  split.notes.insert(split.notes.end(), (*val)->notes().begin(), (*val)->notes().end());
  add_test(layout, **train, options, split);
  return split;
}

std::string ImageFolder::name(int64_t index) const {
  const File& file = files_[static_cast<size_t>(index)];
  return folders_[file.folder] + "/" + file.name;
}

std::string ImageFolder::identity(int64_t index) const { return name(index).substr(root_length_); }

Status ImageFolder::load_into(int64_t index, Image& image, MemoryLease& memory) const {
  DecodeOptions options = options_;
  options.memory = &memory;
  return read_image(name(index), image, options);
}

}  // namespace ferrun::data
