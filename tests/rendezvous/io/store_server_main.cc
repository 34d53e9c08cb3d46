// ferrun_store_server [PORT]: the workers' store alone, for tests and benchmarks that want it in a process of its own.
//
// Prints "port N" and serves until its standard input ends; the line "reset" there empties it, as between two attempts,
// and is answered with "reset". What it logs goes to standard error.
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <cstdio>
#include <cstdlib>
#include <istream>
#include <string>

#include "rendezvous/io/store/store_server.h"

namespace {

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

class Control {
 public:
  Control(boost::asio::io_context& io, ferrun::StoreServer& server)
      : io_(io), input_(io, ::dup(STDIN_FILENO)), server_(server) {}

  void await_line() {
    boost::asio::async_read_until(input_, buffer_, '\n', [this](const boost::system::error_code& error, size_t) {
      if (error) return io_.stop();
      std::string line;
      std::istream lines(&buffer_);
      std::getline(lines, line);
      if (line == "reset") {
        server_.reset();
        say("reset");
      }
      await_line();
    });
  }

 private:
  boost::asio::io_context& io_;
  boost::asio::posix::stream_descriptor input_;
  boost::asio::streambuf buffer_;
  ferrun::StoreServer& server_;
};

}  // namespace

int main(int argc, char** argv) {
  boost::asio::io_context io(1);
  ferrun::StoreServerOptions options;
  if (argc > 1) options.port = static_cast<uint16_t>(std::atoi(argv[1]));
  options.warn = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
  const auto server = ferrun::StoreServer::listen(io, options);
  if (!server.ok()) {
    std::fprintf(stderr, "%s\n", server.error().message.c_str());
    return 1;
  }
  say("port " + std::to_string((*server)->port()));
  Control control(io, **server);
  control.await_line();
  io.run();
  return 0;
}
