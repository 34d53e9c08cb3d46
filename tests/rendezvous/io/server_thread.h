// A store server on its own event loop in a thread, for tests that talk to it over sockets.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "rendezvous/io/store/store_server.h"

namespace ferrun {

class ServerThread {
 public:
  ServerThread() {
    StoreServerOptions options;
    options.log = [this](const std::string& line) { keep(line); };
    options.warn = [this](const std::string& line) {
      keep(line);
      ++warnings_;
    };
    auto server = StoreServer::listen(io_, options);
    EXPECT_TRUE(server.ok()) << (server.ok() ? "" : server.error().message);
    server_ = std::move(*server);
    thread_ = std::thread([this] { io_.run(); });
  }

  ~ServerThread() {
    on_loop([this](StoreServer&) { server_.reset(); });
    work_.reset();
    thread_.join();
  }

  // Runs `task` on the loop and waits until it has run.
  template <typename Task>
  void on_loop(Task task) {
    std::promise<void> done;
    boost::asio::post(io_, [&] {
      task(*server_);
      done.set_value();
    });
    done.get_future().wait();
  }

  uint16_t port() const { return server_->port(); }

  size_t connections() {
    size_t count = 0;
    on_loop([&](StoreServer& server) { count = server.connection_count(); });
    return count;
  }

  // Polls until the server has exactly this many clients.
  bool comes_to_connections(size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (connections() != count) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

  size_t clients_seen() {
    size_t count = 0;
    on_loop([&](StoreServer& server) { count = server.clients_seen(); });
    return count;
  }

  // How many of the lines are warnings.
  int warnings() {
    int count = 0;
    on_loop([&](StoreServer&) { count = warnings_; });
    return count;
  }

  std::vector<std::string> lines() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return lines_;
  }

 private:
  void keep(const std::string& line) {
    const std::lock_guard<std::mutex> lock(mutex_);
    lines_.push_back(line);
  }

  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
  std::unique_ptr<StoreServer> server_;
  std::mutex mutex_;
  std::vector<std::string> lines_;
  int warnings_ = 0;  // the loop's
  std::thread thread_;
};

}  // namespace ferrun
