# Builds ferrun for old distributions and for other processors: Zig's clang, libc++ and symbol lists of every glibc.
# packaging/wheel sets these:
#   FERRUN_ZIG            the zig program (PyPI's ziglang)
#   FERRUN_ZIG_PROCESSOR  x86_64 or aarch64
#   FERRUN_ZIG_GLIBC      the oldest glibc that the program has to run with, as 2.28
#   FERRUN_ZIG_SYSROOT    a folder with usr/include and usr/lib of the libraries for that processor, without a C library; in
#                         run/ a C library to run what was built, where this machine's is another processor's
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES FERRUN_ZIG FERRUN_ZIG_PROCESSOR FERRUN_ZIG_GLIBC FERRUN_ZIG_SYSROOT)

# Zig compiles its libraries anew for every kind of program that it links, in minutes: CMake's trials link none.
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
# So a trial does not tell what the linker knows either.
set(FERRUN_LINKER_ORDERS_CODE OFF CACHE BOOL "")

if(NOT FERRUN_ZIG_PROCESSOR STREQUAL CMAKE_HOST_SYSTEM_PROCESSOR)
  set(CMAKE_SYSTEM_NAME Linux)
  set(CMAKE_SYSTEM_PROCESSOR ${FERRUN_ZIG_PROCESSOR})
  set(CMAKE_CROSSCOMPILING_EMULATOR qemu-${FERRUN_ZIG_PROCESSOR}-static -L ${FERRUN_ZIG_SYSROOT}/run)
endif()
set(CMAKE_CXX_COMPILER ${FERRUN_ZIG} c++)
set(CMAKE_CXX_COMPILER_TARGET ${FERRUN_ZIG_PROCESSOR}-linux-gnu.${FERRUN_ZIG_GLIBC})
set(CMAKE_LIBRARY_ARCHITECTURE ${FERRUN_ZIG_PROCESSOR}-linux-gnu)
set(CMAKE_CXX_STANDARD_INCLUDE_DIRECTORIES ${FERRUN_ZIG_SYSROOT}/usr/include)
# The distribution's ar makes no index of another processor's objects.
set(CMAKE_CXX_ARCHIVE_CREATE "${FERRUN_ZIG} ar qc <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_APPEND "${FERRUN_ZIG} ar q <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_FINISH "${FERRUN_ZIG} ranlib <TARGET>")

set(CMAKE_FIND_ROOT_PATH ${FERRUN_ZIG_SYSROOT}/usr)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
