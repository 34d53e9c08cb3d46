// What an agent shows etcd by TLS, and by what it judges etcd's certificate: files in PEM. Pure.
#pragma once

#include <string>

namespace ferrun::etcd {

struct TlsFiles {
  std::string cacert;  // the authorities that are trusted; empty: those of the system
  std::string cert;    // the client's, with what leads to its authority; empty: none
  std::string key;     // of `cert`
  bool operator==(const TlsFiles&) const = default;
};

}  // namespace ferrun::etcd
