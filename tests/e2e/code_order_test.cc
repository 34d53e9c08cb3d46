// launcher/code_order.txt: what it lists is in the launcher, and lies together.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

namespace ferrun {
namespace {

std::string output_of(const std::string& command) {
  std::string output;
  FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return output;
  char buffer[65536];
  for (size_t count = 0; (count = fread(buffer, 1, sizeof buffer, pipe)) > 0;) output.append(buffer, count);
  return pclose(pipe) == 0 ? output : std::string();
}

TEST(CodeOrder, ListsFunctionsOfTheLauncherAndTheyLieTogether) {
#ifndef FERRUN_CODE_IS_ORDERED
  GTEST_SKIP() << "this build's functions lie where they come";
#endif
  // "  [15] .text.first PROGBITS 0000000000025f40 025f40 08230a …"
  const std::string sections = output_of("readelf --sections --wide " FERRUN_BIN_DIR "/ferrun");
  const size_t line = sections.find(".text.first ");
  ASSERT_NE(line, std::string::npos) << "the linker has not put them together\n" << sections;
  std::istringstream fields(sections.substr(line));
  std::string name, type, address, offset, size;
  fields >> name >> type >> address >> offset >> size;
  const uint64_t begin = std::stoull(address, nullptr, 16), end = begin + std::stoull(size, nullptr, 16);

  std::istringstream symbols(output_of("nm " FERRUN_BIN_DIR "/ferrun"));
  std::map<std::string, uint64_t> places;
  while (symbols >> address) {
    // Of what is defined elsewhere there is no address: "                 U close".
    if (address.size() > 1 && symbols >> type >> name) places[name] = std::stoull(address, nullptr, 16);
    if (address.size() == 1) symbols >> name;
  }
  if (places.empty()) GTEST_SKIP() << "the program is stripped";
  std::ifstream list(FERRUN_SOURCE_DIR "/launcher/code_order.txt");
  int listed = 0, together = 0;
  for (; std::getline(list, name); ++listed) {
    const auto place = places.find(name);
    if (place != places.end() && place->second >= begin && place->second < end) ++together;
  }
  ASSERT_GT(listed, 0);
  EXPECT_GE(together, listed * 8 / 10) << "of " << listed << ": the list has aged, run scripts/order-code";
}

}  // namespace
}  // namespace ferrun
