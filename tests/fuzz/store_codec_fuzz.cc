// The store's parser and machine against arbitrary bytes: any stream, split in any way, is either read the same as in
// one piece or refused the same, holds no more memory than came, and never breaks the machine.
//
// Input: one byte that chooses how the rest is split, then the streams of two clients in turn, each chunk with its
// length.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "rendezvous/store/store_codec.h"
#include "rendezvous/store/store_machine.h"

namespace ferrun {
namespace {

constexpr StoreConnectionId kClients = 2;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

// What one client sent and what a run of it gave, flattened for comparison.
struct Transcript {
  std::vector<std::string> replies = std::vector<std::string>(kClients + 1);
  std::vector<bool> closed = std::vector<bool>(kClients + 1);
  bool operator==(const Transcript&) const = default;
};

class Server {
 public:
  void receive(StoreConnectionId client, std::string_view bytes) {
    if (transcript.closed[client]) return;
    received_[client] += bytes.size();
    parsers_[client].feed(bytes);
    StoreRequest request;
    while (!transcript.closed[client]) {
      const StoreParser::Outcome outcome = parsers_[client].next(request);
      if (outcome == StoreParser::Outcome::kNeedMore) break;
      if (outcome == StoreParser::Outcome::kRefused) {
        require(!parsers_[client].refusal().empty(), "a refusal has a reason");
        return close(client);
      }
      machine_.step(client, request, effects_);
      carry_out();
    }
    require(parsers_[client].held_bytes() <= 2 * received_[client] + 64 * 1024, "memory follows the bytes that came");
  }

  Transcript transcript;

 private:
  void close(StoreConnectionId client) {
    machine_.disconnect(client);
    transcript.closed[client] = true;
  }

  void carry_out() {
    for (const StoreEffects::Effect& effect : effects_.all()) {
      require(effect.connection >= 1 && effect.connection <= kClients, "effects are for clients that exist");
      require(!transcript.closed[effect.connection], "a closed connection has no effects");
      if (!effect.close.empty()) close(effect.connection);
      std::string& replies = transcript.replies[effect.connection];
      // Large values asked for again and again would only slow the fuzzer down.
      if (replies.size() < (1 << 20)) replies += effects_.bytes_of(effect);
    }
    effects_.clear();
  }

  StoreMachine machine_;
  StoreEffects effects_;
  std::vector<StoreParser> parsers_ = std::vector<StoreParser>(kClients + 1);
  std::vector<size_t> received_ = std::vector<size_t>(kClients + 1);
};

struct Chunk {
  StoreConnectionId client;
  std::string_view bytes;
};

std::vector<Chunk> chunks_of(std::string_view input) {
  std::vector<Chunk> chunks;
  StoreConnectionId client = 1;
  while (!input.empty()) {
    const size_t size = std::min<size_t>(static_cast<uint8_t>(input.front()), input.size() - 1);
    chunks.push_back({client, input.substr(1, size)});
    input.remove_prefix(1 + size);
    client = client % kClients + 1;
  }
  return chunks;
}

}  // namespace
}  // namespace ferrun

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ferrun;
  if (size == 0) return 0;
  const size_t step = 1 + data[0];
  const std::vector<Chunk> chunks = chunks_of({reinterpret_cast<const char*>(data) + 1, size - 1});
  Server whole, split;
  for (const Chunk& chunk : chunks) {
    whole.receive(chunk.client, chunk.bytes);
    for (size_t at = 0; at < chunk.bytes.size(); at += step) {
      // A copy of exactly its size, so that a read past its end is seen.
      const std::vector<char> piece(
          chunk.bytes.begin() + static_cast<std::ptrdiff_t>(at),
          chunk.bytes.begin() + static_cast<std::ptrdiff_t>(std::min(chunk.bytes.size(), at + step)));
      split.receive(chunk.client, {piece.data(), piece.size()});
    }
  }
  require(whole.transcript == split.transcript, "how a stream is split changes nothing");
  return 0;
}
