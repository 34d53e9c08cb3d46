// Random requests from several clients against a model that is as simple as the protocol's description: both must give
// every client the same bytes. The seed is in the failure's text.
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <list>
#include <optional>
#include <random>
#include <set>

#include "tests/rendezvous/io/store_harness.h"
#include "tests/seeds.h"

namespace ferrun {
namespace {

namespace msg = store_messages;

// The store without any index: waits are a list that is searched, requests are handled one at a time.
class NaiveStore {
 public:
  using Client = StoreConnectionId;

  void set(const std::string& key, const std::string& value) { values[key] = value, came(key); }
  void append(const std::string& key, const std::string& value) { values[key] += value, came(key); }

  void compare_set(Client from, const std::string& key, const std::string& expected, const std::string& desired) {
    if (!values.contains(key) && expected.empty())
      values[key] = desired;
    else if (values.contains(key) && values[key] == expected)
      values[key] = desired;
    out[from] += msg::text(values.contains(key) ? values[key] : expected);
    came(key);
  }

  void add(Client from, const std::string& key, int64_t delta) {
    const auto sum = counter(key, delta);
    if (!sum) return drop(from);
    out[from] += msg::number(*sum);
    came(key);
  }

  bool present(const std::string& key) const {
    return values.contains(key) || (queues.contains(key) && !queues.at(key).empty());
  }
  bool all(const msg::Keys& keys) const {
    return std::all_of(keys.begin(), keys.end(), [this](const std::string& key) { return present(key); });
  }

  void wait(Client from, const msg::Keys& keys) {
    std::set<std::string> missing;
    for (const std::string& key : keys) {
      if (!present(key)) missing.insert(key);
    }
    if (missing.empty())
      out[from] += '\0';
    else if (waits_of(from) > 0)
      drop(from);
    else
      waits.push_back({from, missing, false});
  }

  void barrier(Client from, const std::string& key, int64_t world) {
    const auto arrived = counter(key, 1);
    if (!arrived) return drop(from);
    came(key);
    if (*arrived >= world) {
      release(key, true);
      out[from] += '\0';
    } else if (waits_of(from) > 0) {
      drop(from);
    } else {
      waits.push_back({from, {key}, true});
    }
  }

  void push(const std::string& name, const std::string& value) {
    queues[name].push_back(value);
    for (auto wait = waits.begin(); wait != waits.end(); ++wait) {
      if (wait->barrier || wait->missing.erase(name) == 0) continue;
      if (wait->missing.empty()) {
        out[wait->client] += '\0';
        waits.erase(wait);
      }
      return;
    }
  }

  void pop(Client from, const std::string& name) {
    auto& queue = queues[name];
    out[from] += msg::number(static_cast<int64_t>(queue.size()));
    if (queue.empty()) return;
    out[from] += msg::text(queue.front());
    queue.erase(queue.begin());
  }

  void forget(Client from) {
    waits.remove_if([from](const Wait& wait) { return wait.client == from; });
  }
  void drop(Client from) { forget(from), dropped.insert(from); }

  std::map<std::string, std::string> values;
  std::map<std::string, std::vector<std::string>> queues;
  std::map<Client, std::string> out;
  std::set<Client> dropped;

 private:
  struct Wait {
    Client client;
    std::set<std::string> missing;
    bool barrier;
  };

  size_t waits_of(Client from) const {
    return static_cast<size_t>(
        std::count_if(waits.begin(), waits.end(), [from](const Wait& wait) { return wait.client == from; }));
  }

  void came(const std::string& key) { release(key, false); }
  void release(const std::string& key, bool barriers) {
    for (auto wait = waits.begin(); wait != waits.end();) {
      if (wait->barrier == barriers) wait->missing.erase(key);
      if (!wait->missing.empty()) {
        ++wait;
        continue;
      }
      out[wait->client] += '\0';
      wait = waits.erase(wait);
    }
  }

  std::optional<int64_t> counter(const std::string& key, int64_t delta) {
    int64_t old = 0;
    if (values.contains(key)) {
      const std::string& held = values[key];
      if (std::from_chars(held.data(), held.data() + held.size(), old).ec != std::errc()) return std::nullopt;
    }
    values[key] = std::to_string(old + delta);
    return old + delta;
  }

  std::list<Wait> waits;
};

class Pair {
 public:
  explicit Pair(uint32_t seed) : random_(seed) {}

  // One random request of a random client, to both stores.
  void step() {
    const StoreConnectionId from = client();
    switch (random_() % 20) {
      case 0: return do_both(from, msg::set(key(), value()), [&] { naive.set(key_, value_); });
      case 1: return do_both(from, msg::append(key(), value()), [&] { naive.append(key_, value_); });
      case 2: {
        const std::string expected = value();
        return do_both(from, msg::compare_set(key(), expected, value()),
                       [&] { naive.compare_set(from, key_, expected, value_); });
      }
      case 3:
        return do_both(from, msg::get(key()),
                       [&] { naive.out[from] += msg::text(naive.values.contains(key_) ? naive.values[key_] : ""); });
      case 4:
      case 5: {
        const int64_t delta = static_cast<int64_t>(random_() % 7) - 3;
        return do_both(from, msg::add(key(), delta), [&] { naive.add(from, key_, delta); });
      }
      case 6: {
        const msg::Keys keys = some_keys();
        return do_both(from, msg::check(keys), [&] { naive.out[from] += naive.all(keys) ? '\0' : '\1'; });
      }
      case 7:
      case 8:
      case 9: {
        const msg::Keys keys = some_keys();
        return do_both(from, msg::wait(keys), [&] { naive.wait(from, keys); });
      }
      case 10:
        return do_both(from, msg::get_num_keys(),
                       [&] { naive.out[from] += msg::number(static_cast<int64_t>(naive.values.size())); });
      case 11:
      case 12:
        return do_both(from, msg::delete_key(key()),
                       [&] { naive.out[from] += msg::number(static_cast<int64_t>(naive.values.erase(key_))); });
      case 13:
      case 14: return do_both(from, msg::cancel_wait(), [&] { naive.forget(from), naive.out[from] += '\1'; });
      case 15: return do_both(from, msg::queue_push(key(), value()), [&] { naive.push(key_, value_); });
      case 16:
      case 17: return do_both(from, msg::queue_pop(key()), [&] { naive.pop(from, key_); });
      case 18: {
        const int64_t world = static_cast<int64_t>(random_() % 6);
        return do_both(from, msg::barrier(key(), world), [&] { naive.barrier(from, key_, world); });
      }
      default: return leave(from);
    }
  }

  void compare() {
    for (const StoreConnectionId id : clients_) {
      ASSERT_EQ(real.received(id), std::exchange(naive.out[id], "")) << "client " << id;
      ASSERT_EQ(!real.closed(id).empty(), naive.dropped.contains(id)) << "client " << id << ": " << real.closed(id);
    }
    std::erase_if(clients_, [this](StoreConnectionId id) { return naive.dropped.contains(id); });
  }

  StoreHarness real;
  NaiveStore naive;

 private:
  StoreConnectionId client() {
    constexpr size_t kClients = 5;
    while (clients_.size() < kClients) clients_.push_back(next_client_++);
    return clients_[random_() % kClients];
  }
  const std::string& key() { return key_ = std::string(1, static_cast<char>('a' + random_() % 4)); }
  const std::string& value() {
    static const std::vector<std::string> values = {"", "1", "-7", "20", "x"};
    return value_ = values[random_() % values.size()];
  }
  msg::Keys some_keys() {
    msg::Keys keys(random_() % 4);
    for (std::string& one : keys) one = key();
    return keys;
  }

  template <typename Model>
  void do_both(StoreConnectionId from, const std::string& message, Model model) {
    real.send(from, message);
    model();
  }

  void leave(StoreConnectionId from) {
    real.disconnect(from);
    naive.forget(from);
    naive.out.erase(from);
    std::erase(clients_, from);
  }

  std::mt19937 random_;
  std::vector<StoreConnectionId> clients_;
  StoreConnectionId next_client_ = 1;
  std::string key_, value_;
};

TEST(StoreProperties, GiveEveryClientTheBytesOfANaiveModel) {
  for (uint32_t seed = 0; seed < seeds_to_try(400); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Pair pair(seed);
    for (int i = 0; i < 400; ++i) {
      pair.step();
      pair.compare();
      if (::testing::Test::HasFailure()) FAIL() << "after " << i + 1 << " requests";
    }
  }
}

}  // namespace
}  // namespace ferrun
