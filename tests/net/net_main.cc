// Runs the tests of this folder in a network of their own. Listing them needs none.
#include <gtest/gtest.h>

#include <string>

#include "tests/net/sandbox.h"

namespace ferrun::testing {
void set_sandbox_problem(const std::string& problem);
}

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (!GTEST_FLAG_GET(list_tests)) ferrun::testing::set_sandbox_problem(ferrun::testing::enter_network_sandbox());
  return RUN_ALL_TESTS();
}
