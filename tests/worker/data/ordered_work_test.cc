#include "worker/data/ordered_work.h"

#include <gmock/gmock.h>

#include <atomic>
#include <exception>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>

namespace ferrun::data {
namespace {

struct Sum final : OrderedWork::Item {
  Sum(int64_t n, int64_t size) : Item(size), number(n), parts_done(static_cast<size_t>(size)) {}
  int64_t number;
  std::vector<int> parts_done;  // each written by one thread
  int64_t total = 0;            // finish()'s
};

// Items of different sizes, some of them empty; every part spins for a while that chance has chosen.
class Sums final : public OrderedWork::Pass {
 public:
  explicit Sums(int64_t items, std::atomic<int>* alive = nullptr) : items_(items), alive_(alive) {
    if (alive_ != nullptr) ++*alive_;
  }
  ~Sums() override {
    if (alive_ != nullptr) --*alive_;
  }
  int64_t items() const override { return items_; }
  std::shared_ptr<OrderedWork::Item> open(int64_t number) const override {
    return std::make_shared<Sum>(number, number % 5);
  }
  void work(OrderedWork::Item& item, int64_t part) const override {
    auto& sum = static_cast<Sum&>(item);
    std::minstd_rand spin(static_cast<unsigned>(sum.number * 31 + part));
    spin.discard(spin() % 2000);
    ++sum.parts_done[static_cast<size_t>(part)];
  }
  void finish(OrderedWork::Item& item) const override {
    auto& sum = static_cast<Sum&>(item);
    for (const int done : sum.parts_done) sum.total += done;
  }

 private:
  int64_t items_;
  std::atomic<int>* alive_;
};

void expect_items(OrderedWork& work, int64_t from, int64_t to) {
  for (int64_t number = from; number < to; ++number) {
    EXPECT_EQ(work.position(), number);
    const auto item = work.next();
    ASSERT_NE(item, nullptr);
    const auto& sum = static_cast<const Sum&>(*item);
    EXPECT_EQ(sum.number, number);
    EXPECT_EQ(sum.total, number % 5) << "every part once, before it is finished";
    EXPECT_THAT(sum.parts_done, ::testing::Each(1));
  }
}

TEST(OrderedWork, GivesTheItemsInOrderWhateverTheThreads) {
  for (const int threads : {0, 1, 2, 5}) {
    for (const int64_t grain : {1, 3, 100}) {
      for (const int ahead : {0, 2}) {
        OrderedWork work({.threads = threads, .ahead = ahead, .grain = grain});
        EXPECT_EQ(work.next(), nullptr) << "nothing has begun";
        work.start(std::make_shared<Sums>(40));
        expect_items(work, 0, 40);
        EXPECT_TRUE(work.ready());
        EXPECT_EQ(work.next(), nullptr);
        EXPECT_EQ(work.next(), nullptr);
        work.start(std::make_shared<Sums>(9), 7);
        expect_items(work, 7, 9);
      }
    }
  }
}

TEST(OrderedWork, APassMayBeDroppedAnywhereAndLeavesNothing) {
  std::atomic<int> alive = 0;
  std::mt19937 random(7);
  {
    OrderedWork work({.threads = 3, .ahead = 2, .grain = 2});
    for (int round = 0; round < 200; ++round) {
      work.start(std::make_shared<Sums>(20, &alive));
      expect_items(work, 0, random() % 20);
    }
    EXPECT_LE(alive, 5) << "of the dropped passes those alone that a thread is still at work on";
  }
  EXPECT_EQ(alive, 0);
}

TEST(OrderedWork, NoThreadWorksFurtherAheadThanAsked) {
  struct Counted final : OrderedWork::Pass {
    mutable std::atomic<int64_t> opened = 0;
    int64_t items() const override { return 30; }
    std::shared_ptr<OrderedWork::Item> open(int64_t number) const override {
      ++opened;
      return std::make_shared<Sum>(number, 2);
    }
    void work(OrderedWork::Item&, int64_t) const override {}
  };
  const auto pass = std::make_shared<Counted>();
  OrderedWork work({.threads = 2, .ahead = 3});
  work.start(pass);
  for (int64_t taken = 1; taken <= 30; ++taken) {
    ASSERT_NE(work.next(), nullptr);
    EXPECT_LE(pass->opened, taken + 4);
  }
}

TEST(OrderedWork, AnyUseOfItGivesWhatOneThreadGives) {
  std::mt19937 random(16);
  const auto below = [&](int bound) { return static_cast<int>(random() % static_cast<unsigned>(bound)); };
  std::atomic<int> alive = 0;
  for (int story = 0; story < 150; ++story) {
    SCOPED_TRACE("story " + std::to_string(story));
    // More threads than items, parts that one thread claims whole, nothing ahead, a window of one.
    const int threads = below(9);
    OrderedWork work({.threads = threads, .ahead = below(4), .grain = 1 + below(6)});
    for (int pass = below(6); pass >= 0; --pass) {
      const int64_t items = below(12), first = below(static_cast<int>(items) + 1);
      work.start(std::make_shared<Sums>(items, &alive), first);
      if (threads > 0 && below(3) == 0) {
        while (!work.ready()) std::this_thread::yield();
      }
      const bool to_the_end = below(2) == 0;
      const int64_t to = to_the_end ? items : first + below(static_cast<int>(items - first) + 1);
      expect_items(work, first, to);
      if (to == items) {
        EXPECT_EQ(work.next(), nullptr);
      }
    }
    // Here it ends with its threads at work, or before they have begun.
  }
  EXPECT_EQ(alive, 0);
}

TEST(OrderedWork, AnItemMayOutliveThePassAndTheThreads) {
  std::vector<std::shared_ptr<OrderedWork::Item>> kept;
  {
    OrderedWork work({.threads = 4, .ahead = 1});
    for (int round = 0; round < 50; ++round) {
      work.start(std::make_shared<Sums>(5));
      work.next();
      kept.push_back(work.next());
    }
  }
  for (const auto& item : kept) EXPECT_EQ(static_cast<const Sum&>(*item).total, 1);
}

// What a loader does with a sample that throws: the item says which was the first, whatever thread met it first.
TEST(OrderedWork, PartsThatFailAreNamedWhateverTheThreads) {
  struct Failing final : OrderedWork::Item {
    using Item::Item;
    void fail(int64_t part) {
      const std::lock_guard lock(mutex);
      if (failure && failed_at <= part) return;
      failure = std::current_exception();
      failed_at = part;
    }
    std::mutex mutex;
    std::exception_ptr failure;
    int64_t failed_at = 0;
    bool finished = false;
  };
  struct Parts final : OrderedWork::Pass {
    int64_t items() const override { return 60; }
    std::shared_ptr<OrderedWork::Item> open(int64_t) const override { return std::make_shared<Failing>(16); }
    void work(OrderedWork::Item& item, int64_t part) const override {
      try {
        if (part % 5 == 3) throw std::runtime_error("part " + std::to_string(part));
      } catch (...) {
        static_cast<Failing&>(item).fail(part);
      }
    }
    void finish(OrderedWork::Item& item) const override { static_cast<Failing&>(item).finished = true; }
  };
  for (const int threads : {0, 2, 6}) {
    OrderedWork work({.threads = threads, .ahead = 1, .grain = 2});
    work.start(std::make_shared<Parts>());
    for (int64_t number = 0; number < 60; ++number) {
      const auto item = work.next();
      const auto& failing = static_cast<const Failing&>(*item);
      EXPECT_TRUE(failing.finished);
      EXPECT_EQ(failing.failed_at, 3);
      try {
        std::rethrow_exception(failing.failure);
      } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "part 3");
      }
    }
  }
}

}  // namespace
}  // namespace ferrun::data
