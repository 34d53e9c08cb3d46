// A network of the test's own: this process leaves the machine's network and mounts behind, so that the hosts that it
// makes disturb nobody and vanish with it. As root, or as an ordinary user where user namespaces are allowed.
#pragma once

#include <string>

namespace ferrun::testing {

// To be called once, before any thread exists. Empty on success, else one line that says what is missing.
std::string enter_network_sandbox();

}  // namespace ferrun::testing
