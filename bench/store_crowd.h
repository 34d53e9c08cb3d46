// Many clients of a store in one thread: real connections, each of which asks and waits for the answer as torch's own
// client does.
//
// Ownership: holds the connections. Thread rule: one thread. A client that is refused or lost is thrown as an error:
// what is measured is a crowd that is served.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ferrun::bench {

class StoreCrowd {
 public:
  // A request and the size of its answer, which every operation here has a fixed one of.
  struct Step {
    std::string message;
    size_t answer = 0;
  };
  using Steps = std::function<std::vector<Step>(size_t client)>;

  StoreCrowd();
  ~StoreCrowd();
  StoreCrowd(const StoreCrowd&) = delete;
  StoreCrowd& operator=(const StoreCrowd&) = delete;

  // Connects `count` clients to the loopback, from as many addresses of it as there have to be for the ports, and has
  // each say the handshake and hear an answer.
  void connect(uint16_t port, size_t count);

  // Every client takes its steps, one after another and all clients at once.
  void play(const Steps& steps);

 private:
  struct Client {
    int fd = -1;
    std::vector<Step> steps;
    size_t step = 0;
    size_t left = 0;  // bytes of the answer to the current step
  };

  void open_one(uint16_t port);
  void say(Client& client);
  bool hear(Client& client);  // whether the client is done
  void wait_for(size_t& pending, const std::function<void()>& on_done);

  int poll_ = -1;
  std::vector<Client> clients_;
};

namespace store_words {
std::string validate();
std::string ping();
std::string set(const std::string& key, const std::string& value);
std::string get(const std::string& key);
std::string add(const std::string& key, int64_t number);
std::string wait(const std::string& key);
}  // namespace store_words

}  // namespace ferrun::bench
