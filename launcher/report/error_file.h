// A worker's error file (TORCHELASTIC_ERROR_FILE), as torch's @record or a C++ program writes it. Pure.
#pragma once

#include <optional>
#include <string>

namespace ferrun {

struct ErrorFile {
  enum class State {
    kAbsent,  // not there or empty: the worker wrote none
    kRead,
    kUnreadable,  // there, but not what an error file holds: `problem` says why
  };
  State state = State::kAbsent;
  // Whose failure it is, as the worker itself says.
  enum class Cause {
    kUnsaid,
    kOwn,
    kLostPeer,  // another rank's, which this one only lost
  };
  Cause cause = Cause::kUnsaid;
  std::string problem;
  bool is_beginning = false;        // of a file that is too large to be read whole
  std::string message;              // "ValueError: bad label"
  std::string callstack;            // the traceback; empty in the simple form
  std::optional<double> timestamp;  // seconds since 1970, by the worker's clock
  // Written by ferrun::client for a fatal signal or an uncaught C++ exception: frames instead of a traceback.
  bool is_crash() const { return callstack.starts_with("#0 "); }
};

// `bytes` of the file, none when there is no file. Reads both forms:
//   {"message": {"message": "...", "extraInfo": {"py_callstack": "...", "timestamp": "..."}}}
//   {"message": "...", "timestamp": 0}
// and in both, beside "message", what only ferrun looks at: "ferrun": {"kind": "own"} or {"kind": "lost_peer"}.
// Never fails: what cannot be read is kUnreadable.
ErrorFile parse_error_file(const std::optional<std::string>& bytes);
// The same of the beginning of a file that is too large. A member whose value has not begun by its end is not there.
ErrorFile parse_error_beginning(const std::string& bytes);

// The worker's error file as ferrun hands it to its own parent (its own TORCHELASTIC_ERROR_FILE): with the exit code
// added in the structured form, as torchrun does. A file that cannot be read, or none, is replaced by `description`.
std::string error_file_for_parent(const std::optional<std::string>& bytes, const std::string& description,
                                  int exit_code);

}  // namespace ferrun
