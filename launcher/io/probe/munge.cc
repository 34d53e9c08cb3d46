#include "launcher/io/probe/munge.h"

#include <dlfcn.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <utility>

namespace ferrun {
namespace {

// As in munge.h.
using MungeContext = struct MungeContextOfLibrary*;
using MungeAnswer = int;
constexpr MungeAnswer kMungeDone = 0;
// What was read of such a credential counts: the proof that follows is what shows that somebody is there who knows it.
constexpr MungeAnswer kFirstOfTimes = 15;  // expired, rewound
constexpr MungeAnswer kLastOfTimes = 17;   // replayed
constexpr int kOptionTimeToLive = 4;
constexpr int kOptionSocket = 8;
constexpr int kOptionUid = 9;
constexpr int kLongestTime = -1;

class MungeLibrary {
 public:
  // By name where it cannot be had.
  Status load() {
    library_ = dlopen("libmunge.so.2", RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) return Error{ErrorKind::kPlatform, "libmunge.so.2 is not there"};
    find(make_context_, "munge_ctx_create");
    find(end_context_, "munge_ctx_destroy");
    find(set_, "munge_ctx_set");
    find(encode_, "munge_encode");
    find(decode_, "munge_decode");
    find(words_, "munge_strerror");
    if (make_context_ != nullptr && end_context_ != nullptr && set_ != nullptr && encode_ != nullptr &&
        decode_ != nullptr && words_ != nullptr) {
      return ok_status();
    }
    return Error{ErrorKind::kPlatform, "libmunge.so.2 lacks calls that it should have"};
  }

  MungeLibrary() = default;
  MungeLibrary(const MungeLibrary&) = delete;
  MungeLibrary& operator=(const MungeLibrary&) = delete;
  ~MungeLibrary() {
    if (library_ != nullptr) dlclose(library_);
  }

  Result<std::string> wrap(const std::string& socket, const std::string& secret) const {
    const Context context = made(socket);
    if (!context) return no_context();
    set_(context.get(), kOptionUid, geteuid());
    set_(context.get(), kOptionTimeToLive, kLongestTime);
    char* text = nullptr;
    const MungeAnswer answer = encode_(&text, context.get(), secret.data(), static_cast<int>(secret.size()));
    const std::unique_ptr<char, decltype(&std::free)> credential(text, &std::free);
    if (answer != kMungeDone || text == nullptr) return refusal(answer);
    return std::string(text);
  }

  Result<std::string> unwrap(const std::string& socket, const std::string& wrapped) const {
    const Context context = made(socket);
    if (!context) return no_context();
    void* bytes = nullptr;
    int size = 0;
    uid_t uid = 0;
    gid_t gid = 0;
    const MungeAnswer answer = decode_(wrapped.c_str(), context.get(), &bytes, &size, &uid, &gid);
    const std::unique_ptr<void, decltype(&std::free)> payload(bytes, &std::free);
    const bool read = answer == kMungeDone || (answer >= kFirstOfTimes && answer <= kLastOfTimes);
    if (!read) return refusal(answer);
    if (uid != geteuid()) {
      return Error{ErrorKind::kPlatform, "it is of user " + std::to_string(uid) + ", and this process is of user " +
                                             std::to_string(geteuid())};
    }
    if (size <= 0 || bytes == nullptr) return std::string();
    return std::string(static_cast<const char*>(bytes), static_cast<size_t>(size));
  }

 private:
  using Context = std::unique_ptr<MungeContextOfLibrary, void (*)(MungeContext)>;

  template <typename Call>
  void find(Call& call, const char* name) {
    call = reinterpret_cast<Call>(dlsym(library_, name));
  }

  Context made(const std::string& socket) const {
    Context context(make_context_(), end_context_);
    if (context && !socket.empty()) set_(context.get(), kOptionSocket, socket.c_str());
    return context;
  }

  static Error no_context() { return Error{ErrorKind::kPlatform, "libmunge.so.2 has no memory"}; }
  Error refusal(MungeAnswer answer) const { return Error{ErrorKind::kPlatform, words_(answer)}; }

  void* library_ = nullptr;
  MungeContext (*make_context_)() = nullptr;
  void (*end_context_)(MungeContext) = nullptr;
  MungeAnswer (*set_)(MungeContext, int, ...) = nullptr;
  MungeAnswer (*encode_)(char**, MungeContext, const void*, int) = nullptr;
  MungeAnswer (*decode_)(const char*, MungeContext, void**, int*, uid_t*, gid_t*) = nullptr;
  const char* (*words_)(MungeAnswer) = nullptr;
};

// Loaded for each call, of which a job has few.
template <typename Use>
Result<std::string> with_munge(Use use) {
  MungeLibrary library;
  if (const Status loaded = library.load(); !loaded) return loaded.error();
  return use(library);
}

}  // namespace

TokenWrapping munge_wrapping(const std::string& socket) {
  TokenWrapping wrapping;
  wrapping.wrap = [socket](const std::string& secret) {
    return with_munge([&](const MungeLibrary& library) { return library.wrap(socket, secret); });
  };
  wrapping.unwrap = [socket](const std::string& wrapped) {
    return with_munge([&](const MungeLibrary& library) { return library.unwrap(socket, wrapped); });
  };
  return wrapping;
}

}  // namespace ferrun
