// munge(7), the cluster's authority on who is who, by its library libmunge.so.2, loaded when it is first needed: where
// it is absent, nothing is linked against and nothing missing. Declares the few calls that are used, by munge.h's ABI.
//
// A credential that one process of a user has made can be read by that user's processes alone, on every machine that
// has the cluster's key, and tells whose it is.
#pragma once

#include <string>

#include "launcher/config/host_facts.h"

namespace ferrun {

// Where munged listens on clusters that have moved its socket (Slurm's AuthInfo).
inline constexpr const char* kMungeSocketVariable = "FERRUN_MUNGE_SOCKET";

// `socket`: munged's, empty for the library's own choice. Waits for munged, which answers at once unless it hangs.
TokenWrapping munge_wrapping(const std::string& socket);

}  // namespace ferrun
