#include "rendezvous/io/coordinator/state_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <thread>
#include <vector>

#include "rendezvous/coordinator/coordinator_state_codec.h"
#include "tests/temporary_directory.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class StateFileTest : public ::testing::Test {
 protected:
  std::string content() {
    const auto read = StateFile::read(path);
    if (!read.ok()) return read.error().message;
    return read->value_or("none");
  }

  const testing::TemporaryDirectory directory;
  const std::string path = directory.file("state");
  boost::asio::io_context io;
};

TEST_F(StateFileTest, FindsNothingWhereThereIsNoFile) { EXPECT_EQ(content(), "none"); }

TEST_F(StateFileTest, SaysAStateIsSavedWhenItCanBeReadAgain) {
  StateFile file(io, path);
  std::vector<std::string> seen;
  for (const std::string text : {"first", "second"}) {
    file.save(text, [&](const std::string& error) { seen.push_back(error + content()); });
  }
  EXPECT_TRUE(seen.empty()) << "called back from save()";
  io.run();
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[1], "second");
  EXPECT_THAT(std::vector<fs::path>(fs::directory_iterator(directory.path()), {}), ElementsAre(path))
      << "leaves nothing beside";
}

TEST_F(StateFileTest, SaysWhyAStateIsNotSavedAndKeepsTheOldOne) {
  ASSERT_EQ(replace_file(path, "old"), "");
  fs::create_directory(path + ".new");
  StateFile file(io, path);
  std::string error;
  file.save("new", [&](const std::string& why) { error = why; });
  io.run();
  EXPECT_THAT(error, HasSubstr("cannot create " + path + ".new"));
  EXPECT_EQ(content(), "old");
}

TEST_F(StateFileTest, SaysWhyAFileCannotBeRead) {
  fs::create_directory(path);
  EXPECT_THAT(content(), HasSubstr("cannot read " + path));
}

TEST_F(StateFileTest, LoadsTheStateThatWasSaved) {
  EXPECT_FALSE(load_state(path)->has_value());
  CoordinatorState state;
  state.incarnation = 3;
  state.newest = {3, 7};
  state.members = {{{42}, "node0", 0}};
  ASSERT_EQ(replace_file(path, encode_state(state)), "");
  const auto loaded = load_state(path);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(loaded->value(), state);
}

TEST_F(StateFileTest, TellsADamagedStateInOneLine) {
  std::string text = encode_state({});
  text[text.size() / 2] ^= 1;
  ASSERT_EQ(replace_file(path, text), "");
  const auto loaded = load_state(path);
  ASSERT_FALSE(loaded.ok());
  EXPECT_THAT(loaded.error().message, HasSubstr("cannot be used ("));
  EXPECT_EQ(loaded.error().message.find('\n'), std::string::npos);
}

TEST_F(StateFileTest, CallsNobodyOnceItIsGone) {
  {
    StateFile file(io, path);
    for (int i = 0; i < 2; ++i) {
      file.save("x", [](const std::string&) { FAIL(); });
    }
  }
  io.run();
  // The save that was under way goes on by itself, in this test's folder.
  while (content() != "x") std::this_thread::yield();
}

}  // namespace
}  // namespace ferrun
