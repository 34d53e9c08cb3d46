// Both sides of a session against somebody on the way who delivers, holds back, changes, repeats and injects what he
// likes, and against peers that know the token and say anything: no side hears a message that the other did not say, in
// another order or twice; every end has a reason.
//
// Input: a program for the one on the way: operation, length, bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rendezvous/wire/message_codec.h"
#include "rendezvous/wire/session.h"
#include "tests/fuzz/require.h"

namespace ferrun {
namespace {

// One direction: what its sender has said and what has been heard of it.
struct Direction {
  std::string pending;    // on the way
  std::string delivered;  // last
  std::vector<std::string> said;
  size_t heard = 0;
};

Nonce nonce_of(unsigned char byte) {
  Nonce nonce;
  nonce.fill(byte);
  return nonce;
}

class Wire {
 public:
  explicit Wire(SessionRole role)
      : client_(job_, role, AgentId{7}, nonce_of(1), up_.pending), server_(job_, nonce_of(2)) {}

  void operate(uint8_t operation, std::string_view bytes) {
    Direction& way = operation & 1 ? up_ : down_;
    switch (operation >> 1 & 7) {
      case 0: return deliver(way, std::exchange(way.pending, {}));
      case 1: return deliver(way, std::string(bytes));
      case 2: return say(way, bytes);
      case 3: return change(way.pending, bytes);
      case 4: return deliver(way, std::string(way.delivered));
      case 5: way.pending.clear(); return;
      case 6: return deliver(way, std::string(operation & 1 ? down_.delivered : up_.delivered));
      default: return deliver_in_pieces(way, bytes.size());
    }
  }

 private:
  void deliver(Direction& way, std::string bytes) {
    // A copy of exactly its size, that is gone afterwards.
    const std::vector<char> copy(bytes.begin(), bytes.end());
    way.delivered = std::move(bytes);
    if (&way == &up_) {
      receive<MemberMessage>(server_, way, {copy.data(), copy.size()}, down_.pending);
    } else {
      receive<CoordinatorMessage>(client_, way, {copy.data(), copy.size()}, up_.pending);
    }
  }

  void deliver_in_pieces(Direction& way, size_t size) {
    const std::string bytes = std::exchange(way.pending, {});
    for (size_t at = 0; at < bytes.size(); at += size + 1) deliver(way, bytes.substr(at, size + 1));
  }

  template <typename Message, typename Side>
  void receive(Side& session, Direction& way, std::string_view bytes, std::string& out) {
    const bool was_authenticated = session.authenticated();
    bool authenticated = false;
    session.feed(bytes);
    while (true) {
      Message message;
      const SessionOutcome outcome = session.next(message, TimePoint(), out);
      if (outcome == SessionOutcome::kNeedMore) return;
      if (outcome == SessionOutcome::kEnded) break;
      if (outcome == SessionOutcome::kAuthenticated) {
        require(!was_authenticated && !authenticated, "a session is authenticated once");
        authenticated = true;
      } else {
        require(session.authenticated(), "nothing is heard before the proof");
        hear(way, encode(message));
      }
    }
    require(!session.authenticated(), "an ended session is not authenticated");
    require(session.end().line.starts_with("it") || session.end().line.starts_with("one "), "an end has a reason");
    require(session.end().line.find('\n') == std::string::npos, "a reason is one line");
  }

  // What is heard is what was said next. A message may be written another way than it was said only where reports are
  // cut.
  void hear(Direction& way, const std::string& encoded) {
    require(way.heard < way.said.size(), "what is heard was said");
    const std::string& said = way.said[way.heard++];
    require(said == encoded || said.size() > encoded.size(), "what is heard is what was said next");
  }

  void say(Direction& way, std::string_view bytes) {
    if (&way == &up_) {
      if (!client_.authenticated()) return;
      client_.send(bytes, way.pending);
    } else {
      if (!server_.authenticated()) return;
      server_.send(bytes, way.pending);
    }
    way.said.emplace_back(bytes);
  }

  static void change(std::string& pending, std::string_view bytes) {
    if (pending.empty() || bytes.size() < 2) return;
    const size_t at = (static_cast<uint8_t>(bytes[0]) * 256u + static_cast<uint8_t>(bytes[1])) % pending.size();
    for (size_t i = 2; i < bytes.size() && at + i - 2 < pending.size(); ++i) pending[at + i - 2] = bytes[i];
  }

  std::shared_ptr<const JobSecret> job_ = std::make_shared<const JobSecret>("job", "token");
  Direction up_, down_;
  ClientSession client_;
  ServerSession server_;
};

}  // namespace
}  // namespace ferrun

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ferrun;
  if (size == 0) return 0;
  std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  Wire wire(static_cast<SessionRole>(1 + data[0] % 3));
  while (input.size() >= 2) {
    const auto operation = static_cast<uint8_t>(input[0]);
    const size_t length = std::min<size_t>(static_cast<uint8_t>(input[1]), input.size() - 2);
    wire.operate(operation, input.substr(2, length));
    input.remove_prefix(2 + length);
  }
  return 0;
}
