// A value or the reason why there is none. Expected failures travel as values; exceptions are for broken promises.
#pragma once

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace ferrun {

// Who has to act on a failure.
enum class ErrorKind {
  kUsage,     // the command line or a PET_ variable is wrong: the user corrects it (exit status 2)
  kUser,      // the program, a file or a permission that the user named cannot be used
  kWorker,    // a worker failed
  kPlatform,  // the machine refused: a port, a limit, the disk, the network
  kInternal,  // ferrun itself is at fault (exit status 70)
};

// One line for a person: what happened, where, and which flag or action helps. No trailing newline.
struct Error {
  ErrorKind kind = ErrorKind::kInternal;
  std::string message;
};

// What the person asked for cannot be done; `message` names it and the remedy.
inline Error usage_error(std::string message) { return Error{ErrorKind::kUsage, std::move(message)}; }

struct Unit {};

// Holds either a T or an Error. `value()` may only be called when `ok()`, `error()` only when not.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : held_(std::move(value)) {}      // NOLINT: a value is a result
  Result(Error error) : held_(std::move(error)) {}  // NOLINT: so is an error

  bool ok() const { return held_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    assert(ok());
    return std::get<0>(held_);
  }
  const T& value() const& {
    assert(ok());
    return std::get<0>(held_);
  }
  T&& value() && {
    assert(ok());
    return std::get<0>(std::move(held_));
  }
  const Error& error() const& {
    assert(!ok());
    return std::get<1>(held_);
  }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Error> held_;
};

using Status = Result<Unit>;
inline Status ok_status() { return Unit{}; }

}  // namespace ferrun
