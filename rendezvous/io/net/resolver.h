// From a name to addresses, without ever holding up the event loop or the end of the process.
//
// The system's resolver blocks, for minutes when a name server is silent, and cannot be interrupted. So each look-up
// is a task of its own that nobody waits for, and its answer is dropped when nobody wants it any more. There are no
// reverse look-ups anywhere.
//
// Ownership: shared with its pending operations. Thread rule: all calls and callbacks on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/backoff.h"
#include "rendezvous/io/net/detached_task.h"
#include "rendezvous/job/ip_address.h"

namespace ferrun {

struct NameAnswer {
  std::vector<IpAddress> addresses;  // IPv4 and IPv6, in the system's order, each once
  std::string error;                 // why there are none: "Name or service not known"
};

// getaddrinfo's answer. Blocks.
NameAnswer look_up(const std::string& name);

class Resolver : public std::enable_shared_from_this<Resolver> {
 public:
  using OnAnswer = std::function<void(const NameAnswer&)>;
  // Runs on a thread of its own; what it uses has to live as long as the process.
  using LookUp = std::function<NameAnswer(const std::string& name)>;

  static std::shared_ptr<Resolver> make(boost::asio::io_context& io, std::string name, OnAnswer on_answer,
                                        LookUp how = look_up);

  // Asks until there are addresses, more and more slowly (100 ms to 5 s), and tells every answer, from the loop. A
  // numeric address is told in the loop's next turn. May be called again for a fresh answer; never asks twice at once.
  void start();
  // No further callback.
  void stop();

 private:
  Resolver(boost::asio::io_context& io, std::string name, OnAnswer on_answer, LookUp how);
  void ask();
  void answer(const NameAnswer& answer);

  boost::asio::io_context& io_;
  std::string name_;
  OnAnswer on_answer_;
  LookUp look_up_;
  boost::asio::steady_timer again_;
  Backoff backoff_;
  bool wanted_ = false;
  bool asking_ = false;
  std::shared_ptr<DetachedTask> task_;
};

}  // namespace ferrun
