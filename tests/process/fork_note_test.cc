// has_fork_point: finds the note in every kind of program, and survives every kind of file.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "launcher/io/process/process_launcher.h"
#include "tests/process/process_test_support.h"

namespace ferrun::testing {
namespace {

class ForkNote : public ::testing::Test {
 protected:
  ~ForkNote() override { close(memory_file); }
  bool found_in(const std::string& bytes) {
    EXPECT_EQ(ftruncate(memory_file, 0), 0);
    EXPECT_EQ(pwrite(memory_file, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    return has_fork_point("/proc/self/fd/" + std::to_string(memory_file));
  }
  static std::string probe(const std::string& name) { return FERRUN_TEST_BIN_DIR "/" + name; }
  TemporaryDirectory directory;

 private:
  int memory_file = memfd_create("candidate", MFD_CLOEXEC);
};

TEST_F(ForkNote, IsInAProgramThatUsesTheForkPoint) { EXPECT_TRUE(has_fork_point(probe("fork_probe_worker"))); }

TEST_F(ForkNote, IsNotInAProgramThatOnlyLinksTheClientLibrary) {
  EXPECT_FALSE(has_fork_point(probe("client_only_probe")));
}

TEST_F(ForkNote, IsNotInOtherPrograms) {
  EXPECT_FALSE(has_fork_point(probe("probe_worker")));
  EXPECT_FALSE(has_fork_point("/bin/sh"));
}

TEST_F(ForkNote, SurvivesGarbageCollectionOfSectionsAndStrip) {
  EXPECT_TRUE(has_fork_point(probe("fork_probe_stripped")));
}

#ifdef FERRUN_STATIC_PROBE
TEST_F(ForkNote, SurvivesStaticLinking) { EXPECT_TRUE(has_fork_point(probe("fork_probe_static"))); }
#endif

TEST_F(ForkNote, IsFoundWithoutSectionHeaders) {
  std::string bytes = read_file(probe("fork_probe_stripped"));
  std::memset(bytes.data() + 0x28, 0, 8);  // e_shoff
  std::memset(bytes.data() + 0x3A, 0, 6);  // e_shentsize, e_shnum, e_shstrndx
  EXPECT_TRUE(found_in(bytes));
}

TEST_F(ForkNote, IsNotFoundInWhatIsNoProgram) {
  EXPECT_FALSE(has_fork_point("/nonexistent"));
  EXPECT_FALSE(has_fork_point("/"));
  EXPECT_FALSE(has_fork_point("/dev/zero"));
  EXPECT_FALSE(found_in(""));
  EXPECT_FALSE(found_in("#!/bin/sh\n.note.ferrun"));
}

TEST_F(ForkNote, AFifoDoesNotHoldItUp) {
  const std::string fifo = directory.file("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_FALSE(has_fork_point(fifo));
}

TEST_F(ForkNote, EveryTruncationIsSafe) {
  const std::string bytes = read_file(probe("fork_probe_stripped")).substr(0, 2048);
  for (size_t size = 0; size <= bytes.size(); ++size) found_in(bytes.substr(0, size));
  EXPECT_FALSE(found_in(bytes.substr(0, 64))) << "a header alone holds no note";
}

// Damages of the headers and notes: the answer may be either, but it must come, from inside the file's bounds.
TEST_F(ForkNote, EveryDamageIsSafe) {
  const std::string original = read_file(probe("fork_probe_stripped")).substr(0, 4096);
  std::mt19937 random(7);
  const std::string extremes = std::string("\x00\x01\x7f\x80\xff", 5);
  int still_found = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = original;
    for (unsigned damage = 0; damage < 1 + random() % 8; ++damage) {
      bytes[random() % 1100] = extremes[random() % extremes.size()];
    }
    still_found += found_in(bytes);
  }
  EXPECT_GT(still_found, 0);
  EXPECT_LT(still_found, 3000);
}

}  // namespace
}  // namespace ferrun::testing
