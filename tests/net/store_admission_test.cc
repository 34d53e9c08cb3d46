// Whom the store of a job on one node answers, from where.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/net/host_program.h"
#include "tests/net/test_network.h"
#include "tests/temporary_directory.h"

namespace ferrun::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The handshake and a PING; tells how many bytes came back.
std::string bytes_answered(const TestNetwork& network, int from, const std::string& address, const std::string& port) {
  const std::string script = "exec 3<>/dev/tcp/" + address + "/" + port +
                             " && printf '\\x00\\xce\\xf7\\x85\\x3c\\x0d\\x01\\x02\\x03\\x04' >&3 &&"
                             " head -c 4 <&3 2>/dev/null | wc -c";
  HostProgram client(network, from, {"/bin/bash", "-c", script}, "/");
  client.wait();
  return client.output();
}

TEST(StoreOfOneNode, AnswersThisMachineAlone) {
  if (const std::string problem = network_problem(); !problem.empty()) GTEST_SKIP() << problem;
  const TestNetwork network(2);
  const TemporaryDirectory folder;
  // A name is listened for on every address.
  HostProgram job(network, 0,
                  {FERRUN_BIN_DIR "/ferrun", "--no-python", "--master-addr=node0", "sh", "-c",
                   "echo \"port $MASTER_PORT.\"; exec sleep 1000"},
                  folder.path().string());
  ASSERT_TRUE(job.wait_for("."));
  const std::string said = job.output();
  const size_t begin = said.find("port ") + 5;
  const std::string port = said.substr(begin, said.find('.', begin) - begin);
  EXPECT_EQ(bytes_answered(network, 0, "node0", port), "4\n");
  EXPECT_EQ(bytes_answered(network, 0, "127.0.0.1", port), "4\n");
  EXPECT_THAT(job.output(), Not(HasSubstr("refused")));
  EXPECT_THAT(bytes_answered(network, 1, "node0", port), Not(HasSubstr("4")));
  EXPECT_TRUE(job.wait_for("refused a connection from " + TestNetwork::address(1)));
}

}  // namespace
}  // namespace ferrun::testing
