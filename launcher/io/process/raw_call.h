// System calls without the C library: for a child that still shares its parent's memory. Such a call touches registers
// alone, where the library would set the parent's errno, or bind a function late under the parent's locks.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace ferrun {

#if defined(__x86_64__) || defined(__aarch64__)
inline constexpr bool kHasRawCalls = true;
#else
inline constexpr bool kHasRawCalls = false;  // raw_call() is the library's, for a child with memory of its own
#endif

// The kernel's answer: a negated errno on failure.
inline long raw_call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) {
#if defined(__x86_64__)
  long answer = number;
  register long fourth asm("r10") = d;
  register long fifth asm("r8") = e;
  asm volatile("syscall" : "+a"(answer) : "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth) : "rcx", "r11", "memory");
  return answer;
#elif defined(__aarch64__)
  register long what asm("x8") = number;
  register long first asm("x0") = a;
  register long second asm("x1") = b;
  register long third asm("x2") = c;
  register long fourth asm("x3") = d;
  register long fifth asm("x4") = e;
  asm volatile("svc 0" : "+r"(first) : "r"(what), "r"(second), "r"(third), "r"(fourth), "r"(fifth) : "memory");
  return first;
#else
  const long answer = syscall(number, a, b, c, d, e);
  return answer < 0 ? -errno : answer;
#endif
}

template <typename T>
long raw_argument(T* pointer) {
  return reinterpret_cast<long>(pointer);
}

}  // namespace ferrun
