// Python workers with real torch as the store's clients; store_peer.py does the asking.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/peer_python.h"
#include "tests/rendezvous/io/store_process.h"

namespace ferrun {
namespace {

int run_peer(const std::string& mode, uint16_t port) {
  const std::string command = "TORCH_CPP_LOG_LEVEL=FATAL '" + peer_python() +
                              "' -W ignore '" FERRUN_SOURCE_DIR "/tests/rendezvous/io/store_peer.py' " + mode + " " +
                              std::to_string(port);
  return std::system(command.c_str());
}

TEST(PythonClients, GetWhatTorchsOwnServerAnswers) {
  FERRUN_NEEDS_PEER();
  StoreProcess ferrun;
  EXPECT_EQ(run_peer("operations", ferrun.port()), 0);
}

TEST(PythonClients, FormAGlooGroupInEveryAttempt) {
  FERRUN_NEEDS_PEER();
  StoreProcess ferrun;
  for (int attempt = 0; attempt < 2; ++attempt) {
    EXPECT_EQ(run_peer("group", ferrun.port()), 0) << "attempt " << attempt;
    ferrun.reset();
  }
}

}  // namespace
}  // namespace ferrun
