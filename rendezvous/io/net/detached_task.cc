#include "rendezvous/io/net/detached_task.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "common/io/quiet_thread.h"
#include "common/io/unique_fd.h"

namespace ferrun {
namespace {

// Written by the thread, watched by the loop through a duplicate: the thread touches nothing of the loop's.
class Event {
 public:
  Event() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  std::mutex order;  // what the work did comes before what `done` does

  int duplicate() const { return !fd_ ? -1 : ::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0); }
  void set() const {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(fd_.get(), &one, sizeof(one));
  }

 private:
  UniqueFd fd_;
};

}  // namespace

Result<std::shared_ptr<DetachedTask>> DetachedTask::start(boost::asio::io_context& io, std::function<void()> work,
                                                          std::function<void()> done) {
  auto event = std::make_shared<Event>();
  const int watched = event->duplicate();
  if (watched < 0) return Error{ErrorKind::kPlatform, std::string("no descriptor for a task: ") + std::strerror(errno)};
  std::shared_ptr<DetachedTask> task(new DetachedTask(io, std::move(done)));
  task->ended_.assign(watched);
  std::optional<std::thread> thread = start_quiet_thread([event, work = std::move(work)] {
    {
      const std::lock_guard lock(event->order);
      work();
    }
    event->set();
  });
  if (!thread) {
    return Error{ErrorKind::kPlatform,
                 "no thread for a task: the limit on processes is reached (ulimit -u, a container's pids)"};
  }
  thread->detach();
  task->ended_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                          [task, event](const boost::system::error_code& error) {
                            if (error) return;
                            const std::lock_guard lock(event->order);
                            const std::function<void()> tell = std::exchange(task->done_, nullptr);
                            task->abandon();
                            if (tell) tell();
                          });
  return task;
}

DetachedTask::DetachedTask(boost::asio::io_context& io, std::function<void()> done)
    : ended_(io), done_(std::move(done)) {}

void DetachedTask::abandon() {
  done_ = nullptr;
  boost::system::error_code ignored;
  ended_.close(ignored);
}

}  // namespace ferrun
