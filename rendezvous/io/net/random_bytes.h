// Random bytes of the kernel's, for nonces and ids.
#pragma once

#include <sys/random.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

#include "rendezvous/job/ids.h"
#include "rendezvous/wire/handshake.h"

namespace ferrun {

// Throws std::system_error where the kernel has none: without them nothing can be authenticated.
template <typename Bytes>
void fill_randomly(Bytes& bytes) {
  if (::getrandom(&bytes, sizeof(bytes), 0) != static_cast<ssize_t>(sizeof(bytes)))
    throw std::system_error(errno, std::system_category(), "getrandom");
}

inline Nonce random_nonce() {
  Nonce nonce;
  fill_randomly(nonce);
  return nonce;
}

// Never 0, which stands for no agent.
inline AgentId random_agent_id() {
  AgentId id;
  while (id.value == 0) fill_randomly(id.value);
  return id;
}

}  // namespace ferrun
