// --rdzv-backend=etcd: which servers keep the job's state and say who coordinates it. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/endpoint.h"
#include "common/result.h"
#include "launcher/cli/parse.h"
#include "launcher/config/host_facts.h"
#include "rendezvous/etcd/tls_files.h"

namespace ferrun {

inline constexpr const char* kEtcdUserVariable = "FERRUN_ETCD_USER";
inline constexpr const char* kEtcdPasswordVariable = "FERRUN_ETCD_PASSWORD";

struct EtcdConfig {
  std::vector<Endpoint> servers;  // their client endpoints; at least one
  std::string prefix;             // of all keys
  std::string user;               // empty: none
  std::string password;
  std::optional<etcd::TlsFiles> tls;  // none: without TLS
  std::vector<std::string> warnings;
};

// From --rdzv-endpoint, --rdzv-conf (user, password_file, etcd_prefix, protocol, cacert, cert, key) and the
// environment. Fails with kUsage, or with kUser for a file that cannot be used.
Result<EtcdConfig> read_etcd(const RawOptions& options, const HostFacts& facts);

// Whether `key` of --rdzv-conf is one of etcd's.
bool is_etcd_setting(const std::string& key);

// The backend's name is one that ferrun has; else kUsage, with what to write instead.
Status check_backend(const RawOptions& options);

}  // namespace ferrun
