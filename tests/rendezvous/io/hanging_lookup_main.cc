// A program whose name server never answers: it asks, and ends at once. For the test that nobody waits for DNS.
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

#include "rendezvous/io/net/resolver.h"

int main() {
  boost::asio::io_context io;
  const auto silent = [](const std::string&) -> ferrun::NameAnswer {
    for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
  };
  const auto resolver = ferrun::Resolver::make(
      io, "node0", [](const ferrun::NameAnswer&) { std::puts("answered"); }, silent);
  resolver->start();
  io.poll();
  resolver->stop();
  std::puts("ended");
}
