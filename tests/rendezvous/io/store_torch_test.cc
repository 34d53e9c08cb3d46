// torch's own C++ client against ferrun's server: whatever torch's server answers, ferrun's answers.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <thread>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <vector>

#include "tests/rendezvous/io/store_process.h"

namespace ferrun {
namespace {

using Store = c10::intrusive_ptr<c10d::TCPStore>;
using Bytes = std::vector<uint8_t>;

Bytes bytes(const std::string& text) { return {text.begin(), text.end()}; }
std::string text(const Bytes& value) { return {value.begin(), value.end()}; }

Store connect(uint16_t port, std::chrono::milliseconds timeout = std::chrono::seconds(60)) {
  c10d::TCPStoreOptions options;
  options.port = port;
  options.waitWorkers = false;
  options.timeout = timeout;
  return c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
}

Store torchs_server() {
  c10d::TCPStoreOptions options;
  options.port = 0;
  options.isServer = true;
  options.waitWorkers = false;
  return c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
}

// What `ask` answers, or the kind of failure: its text has addresses and times in it.
std::string outcome(const std::function<std::string()>& ask) {
  try {
    return ask();
  } catch (const std::exception& error) {
    return std::string(error.what()).find("timeout") != std::string::npos ? "timed out" : "failed";
  }
}

// Every operation of the client, its odd cases included, as a list of answers.
std::vector<std::string> answers_of(uint16_t port) {
  Store store = connect(port);
  std::vector<std::string> answers;
  const auto note = [&](const std::function<std::string()>& ask) { answers.push_back(outcome(ask)); };
  const auto number = [](int64_t value) { return std::to_string(value); };
  note([&] {
    store->set("key", bytes("value"));
    return text(store->get("key"));
  });
  note([&] { return text(store->compareSet("absent", bytes("x"), bytes("y"))); });
  note([&] { return number(store->check({"absent"})); });
  note([&] { return text(store->compareSet("absent", {}, bytes("new"))); });
  note([&] { return text(store->compareSet("absent", bytes("wrong"), bytes("z"))); });
  note([&] { return text(store->compareSet("absent", bytes("new"), bytes("newer"))); });
  note([&] { return number(store->add("count", 5)); });
  note([&] { return number(store->add("count", -12)); });
  note([&] { return text(store->get("count")); });
  note([&] {
    store->set("count", bytes(" 12 apples"));
    return number(store->add("count", 1));
  });
  note([&] { return number(store->check({"key", "count"})) + number(store->check({"key", "nothing"})); });
  note([&] { return number(store->deleteKey("key")) + number(store->deleteKey("key")); });
  note([&] {
    store->append("log", bytes("a"));
    store->append("log", bytes("bc"));
    return text(store->get("log"));
  });
  note([&] {
    store->multiSet({"m1", "m2"}, {bytes("1"), bytes("")});
    return number(store->getNumKeys());
  });
  note([&] {
    const auto got = store->multiGet({"m2", "m1"});
    return text(got[0]) + "," + text(got[1]);
  });
  note([&] { return number(store->hasExtendedApi()); });
  note([&] {
    store->queuePush("queue", bytes("first"));
    store->queuePush("queue", bytes("second"));
    return number(store->queueLen("queue"));
  });
  note([&] { return number(store->check({"queue"})) + number(store->deleteKey("queue")); });
  note([&] { return text(store->queuePop("queue", true)) + text(store->queuePop("queue", false)); });
  note([&] { return text(store->queuePop("queue", false)); });
  note([&] {
    auto keys = store->listKeys();
    std::sort(keys.begin(), keys.end());
    std::string all;
    for (const std::string& key : keys) all += key + " ";
    return all;
  });
  note([&] {
    store->wait({"never"}, std::chrono::milliseconds(50));
    return std::string("came");
  });
  note([&] { return number(store->add("count", 1)); });
  note([&] {
    store->set("empty", {});
    return text(store->get("empty"));
  });
  note([&] {
    const std::string big(8 << 20, 'b');
    store->set("big", bytes(big));
    return number(text(store->get("big")) == big);
  });
  note([&] {
    store->_splitSet("split", bytes("in two packets"));
    return text(store->get("split"));
  });
  note([&] {
    store->set("word", bytes("no number"));
    return number(store->add("word", 1));
  });
  note([&] { return number(store->getNumKeys()); });  // the connection is gone by now
  return answers;
}

TEST(TorchClient, GetsWhatTorchsOwnServerAnswers) {
  const Store torch = torchs_server();
  ASSERT_TRUE(torch->isLibUvBackend());
  StoreProcess ferrun;
  const auto expected = answers_of(torch->getPort());
  const auto got = answers_of(ferrun.port());
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], expected[i]) << "answer " << i;
  EXPECT_EQ(expected[21], "timed out");
}

TEST(TorchClient, CountsAsManyWorkersAsAreToCome) {
  StoreProcess ferrun;
  c10d::TCPStoreOptions options;
  options.port = ferrun.port();
  options.numWorkers = 2;
  options.waitWorkers = true;
  const auto first = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  const auto second = c10::make_intrusive<c10d::TCPStore>("localhost", options);
  EXPECT_EQ(second->getNumKeys(), 1) << "init/ counts the two";
}

TEST(TorchClient, IsWokenByAnotherClient) {
  StoreProcess ferrun;
  Store waiter = connect(ferrun.port());
  std::string got;
  std::thread thread([&] { got = text(waiter->get("late")); });
  connect(ferrun.port())->set("late", bytes("value"));
  thread.join();
  EXPECT_EQ(got, "value");
}

TEST(TorchClient, PopsWhatAnotherClientPushesLater) {
  StoreProcess ferrun;
  Store consumer = connect(ferrun.port());
  std::string got;
  std::thread thread([&] { got = text(consumer->queuePop("jobs", true)); });
  connect(ferrun.port())->queuePush("jobs", bytes("job"));
  thread.join();
  EXPECT_EQ(got, "job");
}

TEST(TorchClient, GoesOnAfterWaitsThatTimedOutWhileTheKeyCame) {
  StoreProcess ferrun;
  Store waiter = connect(ferrun.port());
  Store setter = connect(ferrun.port());
  for (int i = 0; i < 40; ++i) {
    const std::string key = "key" + std::to_string(i);
    std::thread thread([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(900 + 10 * i));
      setter->set(key, bytes("v"));
    });
    outcome([&] {
      waiter->wait({key}, std::chrono::milliseconds(1));
      return std::string();
    });
    thread.join();
    EXPECT_EQ(waiter->add("rounds", 1), i + 1);
  }
}

TEST(TorchClient, AddsFromManyThreadsLoseNothing) {
  StoreProcess ferrun;
  const Store first = connect(ferrun.port());
  constexpr int kThreads = 16, kAdds = 200;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      const auto own = first->clone();
      for (int j = 0; j < kAdds; ++j) own->add("sum", 1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(first->add("sum", 0), kThreads * kAdds);
}

TEST(TorchClient, OfAnOldAttemptFailsAndANewOneFindsAnEmptyStore) {
  StoreProcess ferrun;
  const Store old = connect(ferrun.port());
  old->set("address", bytes("of a dead worker"));
  EXPECT_EQ(old->getNumKeys(), 1);
  ferrun.reset();
  EXPECT_EQ(outcome([&] { return std::to_string(old->getNumKeys()); }), "failed");
  EXPECT_EQ(connect(ferrun.port())->getNumKeys(), 0);
}

}  // namespace
}  // namespace ferrun
