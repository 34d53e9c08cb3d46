// Two sessions with a wire between them that a test may look at and change.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rendezvous/wire/message_codec.h"
#include "rendezvous/wire/session.h"

namespace ferrun {

inline Nonce nonce_of(unsigned char byte) {
  Nonce nonce;
  nonce.fill(byte);
  return nonce;
}

inline std::shared_ptr<const JobSecret> job_secret(const std::string& id, const std::string& token) {
  return std::make_shared<const JobSecret>(id, token);
}

// What a session made of the bytes that it was fed.
template <typename Message>
struct Heard {
  bool authenticated = false;
  bool wrapped = false;
  std::vector<Message> messages;
  bool ended = false;
};

template <typename Message, typename SessionSide>
void hear(SessionSide& session, std::string_view bytes, Heard<Message>& heard, std::string& out, TimePoint now = {}) {
  // A copy of exactly its size, that is gone afterwards: nothing may point into it.
  const std::vector<char> copy(bytes.begin(), bytes.end());
  session.feed({copy.data(), copy.size()});
  while (true) {
    Message message;
    switch (session.next(message, now, out)) {
      case SessionOutcome::kNeedMore: return;
      case SessionOutcome::kWrapped: heard.wrapped = true; return;
      case SessionOutcome::kAuthenticated: heard.authenticated = true; break;
      case SessionOutcome::kMessage: heard.messages.push_back(std::move(message)); break;
      case SessionOutcome::kEnded: heard.ended = true; return;
    }
  }
}

struct SessionPair {
  explicit SessionPair(std::shared_ptr<const JobSecret> client_job = job_secret("job", "token"),
                       std::shared_ptr<const JobSecret> server_job = job_secret("job", "token"),
                       SessionRole role = SessionRole::kMember)
      : client(std::move(client_job), role, AgentId{42}, nonce_of(1), to_server),
        server(std::move(server_job), nonce_of(2)) {}

  // Carries everything in both directions until nobody has anything to say.
  void run() {
    while (!to_server.empty() || !to_client.empty()) {
      hear(server, std::exchange(to_server, {}), at_server, to_client);
      hear(client, std::exchange(to_client, {}), at_client, to_server);
    }
  }

  void client_says(const MemberMessage& message) { client.send(encode(message), to_server); }
  void server_says(const CoordinatorMessage& message) { server.send(encode(message), to_client); }

  std::string to_server, to_client;
  ClientSession client;
  ServerSession server;
  Heard<MemberMessage> at_server;
  Heard<CoordinatorMessage> at_client;
};

}  // namespace ferrun
