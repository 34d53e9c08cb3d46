// A program as the foreground job of an interactive shell: a terminal of its own, a session leader that plays the
// shell, and keys that the test presses.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace ferrun::testing {

struct TerminalOptions {
  std::vector<std::string> environment = {};  // "NAME=value", for the job alone
  bool stop_background_writers = false;       // stty tostop
};

class TerminalJob {
 public:
  explicit TerminalJob(const std::vector<std::string>& command, const TerminalOptions& options = {});
  ~TerminalJob();  // kills the shell and hangs up
  TerminalJob(const TerminalJob&) = delete;
  TerminalJob& operator=(const TerminalJob&) = delete;

  pid_t pid() const { return job_; }
  // ^C is '\x03', ^Z '\x1a', ^S '\x13', ^Q '\x11'.
  void press(char key) const;
  // The next wait status that the shell gets: a stop or the end. Reads the screen meanwhile unless told not to, so that
  // the job is not held up by a full terminal.
  int next_status(bool reading = true);
  void continue_in_foreground() const;  // fg, after a stop
  // What has appeared on the terminal up to now.
  const std::string& screen();
  bool wait_for_screen(const std::string& text);

 private:
  [[noreturn]] void be_shell(const std::vector<std::string>& command, const TerminalOptions& options, int tty,
                             int report);
  void read_screen(int patience_ms);
  int master_ = -1;
  int reports_ = -1;
  pid_t shell_ = 0;
  pid_t job_ = 0;
  std::string screen_;
};

}  // namespace ferrun::testing
