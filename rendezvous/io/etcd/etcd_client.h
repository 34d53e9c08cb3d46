// Requests to etcd's JSON gateway over HTTP/1.1, with TLS where it is asked for: to one server after the other until
// one answers, each for a short time.
//
// A server that is cut off or waits for a new leader holds a request for many seconds; another one may answer at once.
// So a request may have been carried out although it failed here: what is asked has to stand being asked twice.
//
// Ownership: owned by a driver, on the thread that runs `io`, as are all callbacks. None comes once it is gone.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/endpoint.h"
#include "common/time.h"
#include "rendezvous/etcd/etcd_codec.h"
#include "rendezvous/etcd/tls_files.h"

namespace ferrun::etcd {

class Client {
 public:
  struct Options {
    std::vector<Endpoint> servers;
    std::string user;  // empty: no user
    std::string password;
    std::optional<TlsFiles> tls;                             // none: without TLS
    Duration attempt_time = std::chrono::milliseconds(500);  // with one server
  };
  using OnAnswer = std::function<void(const Outcome&)>;

  Client(boost::asio::io_context& io, Options options);
  ~Client();

  // One at a time: not before the one before is answered.
  void ask(Request request, OnAnswer on_answer);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace ferrun::etcd
