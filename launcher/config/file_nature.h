// What a file is, judged by how it begins: who can run it follows from that. Pure.
#pragma once

#include <string>
#include <string_view>

namespace ferrun {

enum class FileNature {
  kProgram,       // ELF
  kPythonScript,  // "#!" and a Python
  kOtherScript,   // "#!" and anything else
  kArchive,       // a zip, which Python runs by its __main__.py
  kByteCode,      // a .pyc
  kText,          // Python's, for all that can be told
  kData,
};

// `beginning`: some kilobytes, or the whole of a shorter file.
FileNature nature_of(std::string_view beginning);

// What runs a file that begins with "#!": the path in that line, or the name that env is told to look for. Empty
// without such a line.
std::string interpreter_of(std::string_view beginning);

}  // namespace ferrun
