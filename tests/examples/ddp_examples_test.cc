// The examples of examples/ddp, as ferrun starts them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <string>

#include "tests/peer_python.h"

namespace ferrun {
namespace {

using ::testing::HasSubstr;

struct Ran {
  int code;
  std::string output;
};

Ran run_on_two_ranks(const std::string& program) {
  FILE* const pipe = popen(("exec 2>&1; " FERRUN_BIN_DIR "/ferrun --nproc-per-node=2 " + program).c_str(), "r");
  if (pipe == nullptr) return {-1, "popen failed"};
  std::string output;
  char buffer[4096];
  for (size_t count = 0; (count = fread(buffer, 1, sizeof buffer, pipe)) > 0;) output.append(buffer, count);
  const int status = pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), output};
}

// What `line` says behind the last comma, which is equal on ranks that trained one network.
std::string last_words(const std::string& output, const std::string& line) {
  const size_t begin = output.find(line);
  if (begin == std::string::npos) return "no line '" + line + "' in: " + output;
  const std::string text = output.substr(begin, output.find('\n', begin) - begin);
  return text.substr(text.rfind(',') + 1);
}

class DdpExample : public ::testing::TestWithParam<const char*> {};

TEST_P(DdpExample, TrainsOneNetworkOnTwoRanks) {
  const Ran ran = run_on_two_ranks(std::string(FERRUN_BIN_DIR "/") + GetParam());
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("loss fell"));
  EXPECT_THAT(ran.output, ::testing::Not(HasSubstr("did not fall")));
  EXPECT_EQ(last_words(ran.output, "rank 0 of 2"), last_words(ran.output, "rank 1 of 2")) << ran.output;
}

INSTANTIATE_TEST_SUITE_P(All, DdpExample,
                         ::testing::Values("custom_comm_hook", "ddp_minimal", "gradient_accumulation",
                                           "mixed_precision", "sync_batch_norm", "uneven_inputs"),
                         [](const auto& example) { return std::string(example.param); });

TEST(DdpMixedExample, CppAndPythonRanksEndWithTheSameBits) {
  FERRUN_NEEDS_PEER();
  const Ran ran =
      run_on_two_ranks("env MIXED_PROGRAM=" FERRUN_BIN_DIR "/mixed_python_cpp GLOO_SOCKET_IFNAME=lo PYTHON='" +
                       peer_python() + "' " FERRUN_SOURCE_DIR "/examples/ddp/mixed_python_cpp.sh");
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("rank 0 of 2 (C++): equal weights"));
  EXPECT_THAT(ran.output, HasSubstr("rank 1 of 2 (Python): equal weights"));
}

}  // namespace
}  // namespace ferrun
