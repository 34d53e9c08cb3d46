#include "rendezvous/io/store/store_poll.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <map>
#include <memory>
#include <vector>

namespace ferrun {
namespace {

// Two ends of a stream: one in the poll, one that the test writes to.
struct Stream {
  Stream() {
    std::array<int, 2> ends;
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) ADD_FAILURE();
    polled = ends[0];
    test = ends[1];
  }
  ~Stream() {
    ::close(polled);
    ::close(test);
  }
  void say() const { EXPECT_EQ(::send(test, "x", 1, 0), 1); }

  int polled = -1, test = -1;
};

class StorePollTest : public testing::Test, public StorePoll::Owner {
 protected:
  void ready(StoreConnectionId id, uint32_t events) override {
    seen_[id] |= events;
    ++calls_;
    if (on_ready_) on_ready_(id);
  }

  void add(StoreConnectionId id, const Stream& stream, uint32_t events = EPOLLIN) {
    EXPECT_TRUE(poll_->add(io_.get_executor(), stream.polled, id, events));
  }

  // Handlers run until `id` has been seen.
  void run_until_seen(StoreConnectionId id) {
    while (!seen_.contains(id)) ASSERT_EQ(io_.run_one_for(std::chrono::seconds(30)), 1u);
  }

  boost::asio::io_context io_{1};
  std::unique_ptr<StorePoll> poll_ = std::make_unique<StorePoll>(*this);
  std::map<StoreConnectionId, uint32_t> seen_;
  int calls_ = 0;
  std::function<void(StoreConnectionId)> on_ready_;
};

TEST_F(StorePollTest, TellsWhichCanBeReadAndWhichWritten) {
  const Stream spoken, silent, writable;
  add(7, spoken);
  add(8, silent);
  add(9, writable, EPOLLIN | EPOLLOUT);
  spoken.say();
  run_until_seen(7);
  EXPECT_EQ(seen_[7], uint32_t{EPOLLIN});
  run_until_seen(9);
  EXPECT_EQ(seen_[9], uint32_t{EPOLLOUT});
  EXPECT_FALSE(seen_.contains(8));
}

TEST_F(StorePollTest, TellsAgainWhatWasNotRead) {
  const Stream stream;
  add(1, stream);
  stream.say();
  run_until_seen(1);
  seen_.clear();
  run_until_seen(1);
}

TEST_F(StorePollTest, TellsOfMoreThanOneBatch) {
  std::vector<Stream> streams(300);
  for (size_t i = 0; i < streams.size(); ++i) {
    add(i, streams[i]);
    streams[i].say();
  }
  on_ready_ = [&](StoreConnectionId id) {
    char byte;
    EXPECT_EQ(::read(streams[id].polled, &byte, 1), 1);
  };
  for (size_t i = 0; i < streams.size(); ++i) run_until_seen(i);
  EXPECT_EQ(calls_, 300);
}

TEST_F(StorePollTest, ForgetsWhatIsRemovedThoughAnotherProcessHasItOpen) {
  const Stream removed, other;
  add(1, removed);
  add(2, other);
  const int duplicate = ::dup(removed.polled);
  poll_->remove(removed.polled);
  removed.say();
  other.say();
  run_until_seen(2);
  EXPECT_FALSE(seen_.contains(1));
  ::close(duplicate);
}

TEST_F(StorePollTest, WaitsForOtherEventsOnceTheyAreChanged) {
  const Stream stream;
  add(1, stream);
  poll_->change(stream.polled, 1, EPOLLOUT);
  stream.say();
  run_until_seen(1);
  EXPECT_EQ(seen_[1], uint32_t{EPOLLOUT});
}

TEST_F(StorePollTest, RestsAMomentAndThenGoesOn) {
  const Stream stream;
  add(1, stream);
  bool other_work = false;
  on_ready_ = [&](StoreConnectionId) {
    if (calls_ > 1) return;
    poll_->rest();
    boost::asio::post(io_, [&] {
      other_work = true;
      EXPECT_EQ(calls_, 1);
    });
  };
  stream.say();
  run_until_seen(1);
  seen_.clear();
  run_until_seen(1);
  EXPECT_TRUE(other_work);
}

// A client that asks without end must not keep the loop from its other work.
TEST_F(StorePollTest, ReturnsToTheLoopFromAClientThatNeverStops) {
  const Stream stream;
  add(1, stream);
  stream.say();
  bool other_work = false;
  on_ready_ = [&](StoreConnectionId) {
    if (calls_ == 1) boost::asio::post(io_, [&] { other_work = true; });
  };
  while (!other_work) ASSERT_EQ(io_.run_one_for(std::chrono::seconds(30)), 1u);
}

TEST_F(StorePollTest, IsSilentOnceItIsGone) {
  const Stream stream;
  add(1, stream);
  stream.say();
  poll_.reset();
  io_.run_for(std::chrono::seconds(30));
  EXPECT_EQ(calls_, 0);
}

}  // namespace
}  // namespace ferrun
