// What etcd's JSON gateway is asked and answers: requests as bodies, replies as values. Keys and values travel as
// base64, 64-bit numbers as strings, and what is zero or false is left out. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace ferrun::etcd {

std::string to_base64(std::string_view bytes);
std::optional<std::string> from_base64(std::string_view text);

// One request: the path below the server, and the body to be posted there.
struct Request {
  std::string path;
  std::string body;
};

struct Pair {
  std::string key;
  std::string value;
  int64_t create_revision = 0;
  int64_t mod_revision = 0;
  int64_t lease = 0;
};

// Lines of a transaction.
struct Compare {
  enum class What { kCreateRevision, kModRevision };
  What what = What::kCreateRevision;
  std::string key;
  int64_t revision = 0;  // 0: the key is not there
};
struct Operation {
  enum class What { kRange, kPut, kDelete };
  What what = What::kRange;
  std::string key;
  std::string value;  // of a put
  int64_t lease = 0;  // of a put
};

Request range(const std::vector<std::string>& keys);  // in one transaction that changes nothing
Request transaction(const std::vector<Compare>& compares, const std::vector<Operation>& success,
                    const std::vector<Operation>& failure);
Request grant(int64_t seconds);
Request keep_alive(int64_t lease);
Request revoke(int64_t lease);
Request authenticate(const std::string& user, const std::string& password);

// What came back, as far as it is of use here; nothing is there that was not sent.
struct Reply {
  int64_t revision = 0;     // of the store, when it answered
  bool succeeded = false;   // a transaction's compares held
  std::vector<Pair> pairs;  // of all its ranges
  int64_t lease = 0;        // granted
  int64_t seconds = 0;      // of a lease from now on; 0: there is no such lease any more
  std::string token;        // of authenticate
};

// Which of etcd's refusals need to be told apart.
enum class Refusal {
  kOther,
  kFull,             // its space is used up: it takes no writes until somebody makes room
  kUnauthenticated,  // no token, or one that has run out
  kForbidden,        // the user may not do this, or user and password do not match
  kNoQuorum,         // the server has no leader, or did not hear from it in time
  kNoAnswer,         // from any server
  kNoTls,            // agent and servers do not come together by TLS: a certificate, a name
};
struct Failure {
  Refusal refusal = Refusal::kOther;
  std::string line;  // etcd's own words
};

// `status` is HTTP's. A body that is no reply of etcd's is a failure that says so.
struct Outcome {
  std::optional<Failure> failure;
  Reply reply;  // without a failure
};
Outcome decode(unsigned status, std::string_view body);

}  // namespace ferrun::etcd
