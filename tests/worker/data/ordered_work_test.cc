#include "worker/data/ordered_work.h"

#include <gmock/gmock.h>

#include <atomic>
#include <random>

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

}  // namespace
}  // namespace ferrun::data
