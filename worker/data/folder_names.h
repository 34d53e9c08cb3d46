// What is to be known of a folder's or a file's name. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ferrun::data {

// Whether Python's str, JSON and a checkpoint can hold the name.
bool is_utf8(std::string_view name);

// Unicode's composed form (NFC): equal for names that look the same, whether "é" is one code point, as Linux and
// Windows write it, or a letter and an accent (NFD), as macOS does. `name` is UTF-8.
std::string composed(std::string_view name);

// The name for a message: what is no UTF-8 as \xe9.
std::string printable(std::string_view name);

// Names that programs leave behind and no person gives to a class or a picture: hidden ones (.ipynb_checkpoints,
// .DS_Store, macOS's ._photo.jpg), __MACOSX, the folder of such files in a ZIP from a Mac, and Windows' Thumbs.db and
// desktop.ini.
bool is_left_by_programs(std::string_view name);

// Whether all are whole numbers whose order as text, which is the labels' order, is not that of the numbers
// (0, 1, 10, 2).
bool are_misordered_numbers(const std::vector<std::string>& sorted);

}  // namespace ferrun::data
