#include "worker/train/picture_list.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace ferrun::train {
namespace {

namespace fs = std::filesystem;

bool is_picture_name(std::string name) {
  constexpr std::array<std::string_view, 3> kExtensions = {".jpg", ".jpeg", ".png"};
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return std::any_of(kExtensions.begin(), kExtensions.end(),
                     [&](std::string_view extension) { return name.ends_with(extension); });
}

// A link to a folder that is being walked would be walked for ever.
bool is_within_itself(const fs::path& folder, const std::vector<fs::path>& above) {
  std::error_code error;
  return std::any_of(above.begin(), above.end(),
                     [&](const fs::path& other) { return fs::equivalent(folder, other, error); });
}

// The pictures of a folder and of those below. One that cannot be listed stands for itself, and its reading says why.
void add_folder(const fs::path& folder, std::vector<fs::path>& above, std::vector<std::string>& files) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator entry(folder, error); !error && entry != fs::directory_iterator(); entry.increment(error))
    entries.push_back(entry->path());
  if (error) return files.push_back(folder.string());
  std::sort(entries.begin(), entries.end());
  above.push_back(folder);
  for (const fs::path& entry : entries) {
    const std::string name = entry.filename().string();
    if (name.starts_with('.')) continue;
    if (fs::is_directory(entry, error)) {
      if (!is_within_itself(entry, above)) add_folder(entry, above, files);
    } else if (is_picture_name(name)) {
      files.push_back(entry.string());
    }
  }
  above.pop_back();
}

// A folder without a picture stands for itself, so that the other arguments are answered all the same.
void add_path(const std::string& path, std::vector<std::string>& files) {
  std::error_code error;
  const size_t before = files.size();
  std::vector<fs::path> above;
  if (fs::is_directory(path, error)) add_folder(path, above, files);
  if (files.size() == before) files.push_back(path);
}

// Why a folder that stands for itself has no pictures.
Error explain_folder(const std::string& path) {
  std::error_code error;
  const fs::directory_iterator entries(path, error);
  return Error{ErrorKind::kUser,
               path + (error ? ": cannot be listed: " + error.message() : ": holds no JPEG or PNG pictures")};
}

}  // namespace

Result<std::vector<std::string>> list_pictures(const std::vector<std::string>& arguments, std::istream& input) {
  std::vector<std::string> files;
  for (const std::string& argument : arguments) {
    if (argument != "-") {
      add_path(argument, files);
      continue;
    }
    for (std::string line; std::getline(input, line);) {
      if (line.ends_with('\r')) line.pop_back();  // as Windows ends lines
      if (line.empty()) continue;
      add_path(line, files);
    }
  }
  if (files.empty()) return Error{ErrorKind::kUser, "there are no pictures: standard input names none"};
  return files;
}

Status PictureList::load_into(int64_t index, data::Image& image, data::MemoryLease& memory) const {
  data::DecodeOptions options = decode_;
  options.memory = &memory;
  const std::string& path = files_[static_cast<size_t>(index)];
  std::error_code error;
  Status read = fs::is_directory(path, error) ? Status(explain_folder(path)) : data::read_image(path, image, options);
  if (!read) {
    const std::lock_guard lock(mutex_);
    failures_.insert_or_assign(index, read.error());
  }
  return read;
}

std::optional<Error> PictureList::failure(int64_t index) const {
  const std::lock_guard lock(mutex_);
  const auto found = failures_.find(index);
  return found == failures_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace ferrun::train
