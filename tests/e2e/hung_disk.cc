// Preloaded into ferrun: a file server that does not answer. Calls that make a folder or open a file whose path
// contains $FERRUN_TEST_HUNG_DISK return only once a file "answers" is in $FERRUN_TEST_HUNG_NOTES; the first makes
// "hangs" there.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

int real_open(const char* path, int flags, mode_t mode) {
  return next<int (*)(const char*, int, ...)>("open")(path, flags, mode);
}

void wait_for_the_disk(const char* path) {
  const char* disk = ::getenv("FERRUN_TEST_HUNG_DISK");
  const char* notes = ::getenv("FERRUN_TEST_HUNG_NOTES");
  if (disk == nullptr || notes == nullptr || std::strstr(path, disk) == nullptr) return;
  ::close(real_open((std::string(notes) + "/hangs").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  while (::access((std::string(notes) + "/answers").c_str(), F_OK) != 0) ::usleep(2000);
}

}  // namespace

extern "C" int mkdir(const char* path, mode_t mode) {
  wait_for_the_disk(path);
  return next<int (*)(const char*, mode_t)>("mkdir")(path, mode);
}

extern "C" int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  wait_for_the_disk(path);
  return real_open(path, flags, mode);
}
