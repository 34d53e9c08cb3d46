// Work that may block for long (a name server, a disk), on a thread of its own that nobody waits for: neither the event
// loop nor the end of the process.
//
// Ownership: shared with the pending wait. Thread rule: all calls, and `done`, on the thread that runs `io`; `work` on
// the new one, where it may outlive everything but what it owns.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>

#include "common/result.h"

namespace ferrun {

class DetachedTask : public std::enable_shared_from_this<DetachedTask> {
 public:
  // `done` is called from the loop when `work` has returned. kPlatform when the machine gives no thread or descriptor.
  static Result<std::shared_ptr<DetachedTask>> start(boost::asio::io_context& io, std::function<void()> work,
                                                     std::function<void()> done);

  // `done` is not called any more. The work goes on, for nobody.
  void abandon();

 private:
  DetachedTask(boost::asio::io_context& io, std::function<void()> done);

  boost::asio::posix::stream_descriptor ended_;
  std::function<void()> done_;  // none once called or abandoned
};

}  // namespace ferrun
