// What a coordinator has to find again when it is started anew, in one file: replaced as a whole, and on the disk
// before it is said to be. The disk is waited for on another thread, and by nobody at the end of the process.
//
// Ownership: owned by a driver, on the thread that runs `io`, as are all callbacks. None comes once it is gone.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/result.h"
#include "rendezvous/coordinator/coordinator_events.h"

namespace ferrun {

class StateFile {
 public:
  // `error`: one line, empty when the text is on the disk.
  using OnSaved = std::function<void(const std::string& error)>;

  StateFile(boost::asio::io_context& io, std::string path);
  ~StateFile();

  // One after the other, in the order of the calls. Called back from the loop.
  void save(std::string text, OnSaved on_saved);

  // Blocks: for the start. None when there is no such file; kUser when it cannot be read.
  static Result<std::optional<std::string>> read(const std::string& path);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// The state that an earlier coordinator has left; none when there is no such file. kUser with one line when it cannot
// be read or is damaged: "cannot be used (why)", to be put behind the name of the file. Blocks.
Result<std::optional<CoordinatorState>> load_state(const std::string& path);

// Writes `text` beside `path`, syncs it, puts it in the place of `path` and syncs the folder. Blocks. Empty, or why
// not.
std::string replace_file(const std::string& path, const std::string& text);

}  // namespace ferrun
