// The C library's words for error numbers.
#pragma once

#include <string.h>

namespace ferrun {

using ErrorDescription = const char* (*)(int error);

// "No such file or directory" for ENOENT, in English; the words live for ever, null for an unknown number. The function
// is the library's own, bound when this is called: a child that shares its parent's memory may call it, on any thread.
// glibc before 2.32 has only strerror, which is as safe for the numbers that the kernel knows, because ferrun never
// chooses a locale.
inline ErrorDescription error_description() {
#if __GLIBC_PREREQ(2, 32)
  return &strerrordesc_np;
#else
  return reinterpret_cast<ErrorDescription>(&strerror);  // its words are not to be written to: char* is const char*
#endif
}

}  // namespace ferrun
