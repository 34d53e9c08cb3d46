// A collective that is under way: what torch.distributed calls Work.
#pragma once

#include <functional>
#include <memory>
#include <utility>

namespace ferrun::ddp {

// Copies stand for the same collective. One that was made without a function has ended. Its tensors must be left alone
// until wait() has returned. Thread rule: the thread that calls the group's collectives.
class Work {
 public:
  Work() = default;
  // `finish` waits, and throws what c10d throws; `completed` tells without waiting.
  Work(std::function<void()> finish, std::function<bool()> completed)
      : state_(std::make_shared<State>(State{std::move(finish), std::move(completed)})) {}

  // Returns when the results are in place; throws what c10d throws, see ProcessGroup::explain. Called again, it
  // returns.
  void wait() {
    if (!state_ || !state_->finish) return;
    const std::function<void()> finish = std::exchange(state_->finish, nullptr);
    finish();
  }
  // Whether wait() would not wait.
  bool completed() const { return !state_ || !state_->finish || state_->completed(); }

 private:
  struct State {
    std::function<void()> finish;
    std::function<bool()> completed;
  };
  std::shared_ptr<State> state_;
};

}  // namespace ferrun::ddp
