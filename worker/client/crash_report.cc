// What a program says when it ends by an uncaught exception or a fatal signal. In the handlers nothing allocates,
// locks, or calls what is not async-signal-safe, but the handler of std::terminate, which runs in an ordinary context,
// asks the exception for its words.
#include <cxxabi.h>
#include <execinfo.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <iterator>
#include <string>
#include <typeinfo>

#include "ferrun/client.h"
#include "worker/client/code_names.h"
#include "worker/client/json_string.h"

namespace ferrun::client {
namespace {

constexpr int kFatalSignals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
constexpr int kMostFrames = 64;
constexpr size_t kStackBytes = 64 << 10;  // of the handler: the program's own may have overflown

// All that the handlers use is made before.
struct CrashState {
  char path[4096] = {};
  char draft[4096 + 32] = {};
  char text[128 << 10] = {};
  struct sigaction before[std::size(kFatalSignals)] = {};
  std::terminate_handler terminate_before = nullptr;
  std::atomic<pid_t> reporter = 0;  // the thread that tells; the others wait for the end
};
CrashState crash_state;
std::atomic<bool> crash_reports_on = false;

pid_t this_thread() { return static_cast<pid_t>(::syscall(SYS_gettid)); }

// Whether this thread is the one to tell. Another one that crashes meanwhile waits for the process to end; the same one
// has told already, or crashed in doing so.
bool begin_report() {
  pid_t nobody = 0;
  if (crash_state.reporter.compare_exchange_strong(nobody, this_thread())) return true;
  while (crash_state.reporter.load() != this_thread()) ::pause();
  return false;
}

// What the program has written itself says more.
bool has_report() { return ::access(crash_state.path, F_OK) == 0; }

// The runtime's part of a throw, as far as its address is known here.
bool is_in_throw(uintptr_t address) {
  constexpr uintptr_t kItsSize = 256;
  return address - reinterpret_cast<uintptr_t>(&abi::__cxa_throw) < kItsSize;
}

void add_frames(FixedText& text, void* const* frames, int count, uintptr_t fault) {
  int first = 0;
  for (int at = 0; at < count; ++at) {
    const auto address = reinterpret_cast<uintptr_t>(frames[at]);
    if (fault != 0 && address == fault) first = at;  // before it is the handler
    if (fault == 0 && is_in_throw(address)) first = at + 1;
  }
  for (int at = first; at < count; ++at) {
    const auto address = reinterpret_cast<uintptr_t>(frames[at]);
    text.add(at == first ? "#" : "\\n#");
    text.add_number(static_cast<unsigned long>(at - first));
    text.add(" ");
    // A caller's address is the one behind its call, which may be another function's.
    add_code_name(text, address == fault ? address : address - 1);
  }
}

// The rest of the file behind its message, and the file. `kind` is for ferrun alone.
void write_report(FixedText& text, uintptr_t fault, const char* kind) {
  void* frames[kMostFrames];
  const int count = ::backtrace(frames, kMostFrames);
  text.add("\", \"extraInfo\": {\"py_callstack\": \"");
  add_frames(text, frames, count, fault);
  text.add("\", \"timestamp\": \"");
  text.add_number(static_cast<unsigned long>(::time(nullptr)));
  text.add("\"}}");
  text.add(kind);
  text.add("}\n");
  const int file = ::open(crash_state.draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return;
  const char* left = text.data();
  size_t size = text.size();
  while (size > 0) {
    const ssize_t written = ::write(file, left, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) break;
    left += written;
    size -= static_cast<size_t>(written);
  }
  ::close(file);
  if (size > 0 || ::rename(crash_state.draft, crash_state.path) != 0) ::unlink(crash_state.draft);
}

FixedText begin_text() {
  FixedText text(crash_state.text, sizeof crash_state.text - 256);  // the end always fits
  text.add("{\"message\": {\"message\": \"");
  return text;
}

uintptr_t fault_address(const void* context) {
  const auto* const machine = static_cast<const ucontext_t*>(context);
#if defined(__x86_64__)
  return static_cast<uintptr_t>(machine->uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return static_cast<uintptr_t>(machine->uc_mcontext.pc);
#else
  return machine == nullptr ? 1 : 0;
#endif
}

const char* signal_words(int signal) {
  switch (signal) {
    case SIGSEGV: return "SIGSEGV (segmentation fault)";
    case SIGBUS: return "SIGBUS (bus error)";
    case SIGILL: return "SIGILL (illegal instruction)";
    case SIGFPE: return "SIGFPE (arithmetic exception)";
    default: return "SIGABRT (aborted)";
  }
}

// An abort may follow from what another rank did, as that of a library's watchdog: its words are elsewhere.
void report_signal(int signal, const siginfo_t& what, const void* context) {
  FixedText text = begin_text();
  text.add(signal_words(signal));
  if (signal != SIGABRT && what.si_code > 0) {
    text.add(" at address ");
    text.add_hex(reinterpret_cast<uintptr_t>(what.si_addr));
  }
  text.add(", thread ");
  text.add_number(static_cast<unsigned long>(this_thread()));
  write_report(text, fault_address(context), signal == SIGABRT ? "" : ", \"ferrun\": {\"kind\": \"own\"}");
}

// Ends with what was there before: the default ends the process by this signal, with a core dump where there is one.
void on_fatal_signal(int signal, siginfo_t* what, void* context) {
  const int error = errno;
  if (begin_report() && !has_report()) report_signal(signal, *what, context);
  for (size_t at = 0; at < std::size(kFatalSignals); ++at) {
    if (kFatalSignals[at] == signal) ::sigaction(signal, &crash_state.before[at], nullptr);
  }
  errno = error;
  if (what->si_code <= 0 || signal == SIGABRT) ::raise(signal);  // else the instruction is tried again
}

std::string words_of_exception() {
  const std::type_info* const type = abi::__cxa_current_exception_type();
  if (type == nullptr) return "std::terminate was called without an exception";
  int failed = 0;
  char* const name = abi::__cxa_demangle(type->name(), nullptr, nullptr, &failed);
  std::string words = "uncaught exception of type " + std::string(failed == 0 ? name : type->name());
  std::free(name);
  try {
    throw;
  } catch (const std::exception& exception) {
    words += std::string(": ") + exception.what();
  } catch (const std::string& text) {
    words += ": " + text;
  } catch (const char* text) {
    words += std::string(": ") + text;
  } catch (...) {
  }
  return words;
}

[[noreturn]] void on_terminate() {
  if (begin_report() && !has_report()) {
    FixedText text = begin_text();
    try {
      const std::string quoted = json_string(words_of_exception().substr(0, 32 << 10));
      text.add(quoted.c_str() + 1, quoted.size() - 2);
    } catch (...) {
      text.add("uncaught exception");
    }
    write_report(text, 0, "");
  }
  if (crash_state.terminate_before != nullptr) crash_state.terminate_before();
  std::abort();
}

bool give_handlers_a_stack() {
  void* const stack = ::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED) return false;
  stack_t own{};
  own.ss_sp = stack;
  own.ss_size = kStackBytes;
  return ::sigaltstack(&own, nullptr) == 0;
}

}  // namespace

bool report_crashes() noexcept {
  const char* const path = std::getenv("TORCHELASTIC_ERROR_FILE");
  if (path == nullptr || *path == '\0' || std::strlen(path) >= sizeof crash_state.path) return false;
  if (crash_reports_on.exchange(true)) return true;
  std::strcpy(crash_state.path, path);
  FixedText draft(crash_state.draft, sizeof crash_state.draft - 1);
  draft.add(path);
  draft.add(".crash-");
  draft.add_number(static_cast<unsigned long>(::getpid()));
  void* first[1];
  ::backtrace(first, 1);  // loads what it needs, which a handler could not
  if (!give_handlers_a_stack()) return false;
  struct sigaction handler {};
  handler.sa_sigaction = on_fatal_signal;
  handler.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigemptyset(&handler.sa_mask);
  for (size_t at = 0; at < std::size(kFatalSignals); ++at) {
    if (::sigaction(kFatalSignals[at], &handler, &crash_state.before[at]) != 0) return false;
  }
  crash_state.terminate_before = std::set_terminate(on_terminate);
  return true;
}

}  // namespace ferrun::client
