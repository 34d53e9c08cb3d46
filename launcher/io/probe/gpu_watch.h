// The GPUs of this node's workers, looked at when the workers start and again when one has failed. NVIDIA's library is
// loaded, and called, on a thread of its own: its driver may hang, above all when a device is what failed.
//
// Ownership: owned by the node driver. Thread rule: the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/time.h"
#include "launcher/config/job_config.h"
#include "launcher/io/node/file_worker.h"

namespace ferrun {

class GpuWatch {
 public:
  struct Options {
    std::string library = "libnvidia-ml.so.1";
    std::filesystem::path root = "/";  // of /dev, /proc and /sys
    std::filesystem::path kernel_log = "/dev/kmsg";
    Duration patience = std::chrono::seconds(2);  // with the driver, when a worker has failed
    Duration release = std::chrono::seconds(10);  // for the memory of an attempt that is over
  };
  // Null on a machine without NVIDIA's driver (/dev/nvidiactl), where nothing is loaded. Looks at the devices at once.
  static std::unique_ptr<GpuWatch> start(boost::asio::io_context& io, const JobConfig& config, Options options);
  static std::unique_ptr<GpuWatch> start(boost::asio::io_context& io, const JobConfig& config);

  // An attempt begins: what is seen now is what later looks are compared with.
  void restart();

  // For each of the local ranks, in their order, what is wrong with its device. `done` is called once: at once, with
  // nothing to tell, while the library is still being loaded or where it is absent; when the driver does not answer in
  // time, with a line that says so.
  using Lines = std::vector<std::vector<std::string>>;
  void examine(const std::vector<int>& local_ranks, std::function<void(const Lines&)> done);

  // Before another attempt: `done` is called once, when the processes `dead` of the last one hold no memory of these
  // devices any more, or when they have been waited for long enough; `say` is given a line that says who does then. At
  // once where the driver has told nothing so far.
  void await_release(std::vector<int> dead, std::function<void(const std::string&)> say, std::function<void()> done);

 private:
  struct Sight;
  struct Release;
  GpuWatch(boost::asio::io_context& io, const JobConfig& config, Options options);
  void look_for_holders(const std::shared_ptr<Release>& release);

  boost::asio::io_context& io_;
  const Duration patience_;
  const Duration release_;
  std::shared_ptr<Sight> sight_;  // used by `thread_` alone
  bool looked_ = false;
  FileWorker thread_;
};

}  // namespace ferrun
