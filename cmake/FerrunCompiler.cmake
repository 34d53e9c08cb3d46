# Language level, warnings and sanitizers for every target of the project.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# An installed program looks for LibTorch where the build found it.
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)

find_program(FERRUN_CCACHE ccache)
if(FERRUN_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths below the source folder are made relative, so that another clone of the project finds what this one compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${FERRUN_CCACHE})
endif()

# Most of what the launcher holds in memory is its own code: what is not called is left out, and only what runs for every
# byte or message is worth space. Code that calculates keeps -O3.
set(FERRUN_SMALL_CODE "$<$<CONFIG:Release>:-Os;-ffunction-sections;-fdata-sections>")
set(FERRUN_QUICK_CODE "$<$<CONFIG:Release>:-O2;-ffunction-sections;-fdata-sections>")

add_library(ferrun_warnings INTERFACE)
target_compile_options(ferrun_warnings INTERFACE -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Wold-style-cast)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  if(CMAKE_UNITY_BUILD)
    # In a unit of many files every type of an unnamed namespace looks as if it were in a header.
    target_compile_options(ferrun_warnings INTERFACE -Wno-subobject-linkage)
  endif()
  # g++ 12 at -O3 in C++20 reports false -Wrestrict in std::string.
  target_compile_options(ferrun_warnings INTERFACE $<$<CONFIG:Release>:-Wno-restrict>)
  if(FERRUN_SANITIZE STREQUAL "thread")
    target_compile_options(ferrun_warnings INTERFACE -Wno-tsan -Wno-stringop-overflow -Wno-array-bounds)
  endif()
  if(NOT FERRUN_SANITIZE STREQUAL "")
    # Their instrumentation makes g++ 12 take the alternatives that a std::variant does not hold for values in use.
    target_compile_options(ferrun_warnings INTERFACE -Wno-maybe-uninitialized)
  endif()
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # libstdc++ 12's std::stable_sort calls a function of its own that it has marked deprecated; clang 22 reports the caller.
  target_compile_options(ferrun_warnings INTERFACE -Wno-deprecated-declarations)
endif()

if(FERRUN_SANITIZE STREQUAL "address")
  # vptr asks a pipe whether an object's memory is readable: without a descriptor for it, which is what some tests take
  # away, every object is accused.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(FERRUN_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(NOT FERRUN_SANITIZE STREQUAL "")
  message(FATAL_ERROR "FERRUN_SANITIZE=${FERRUN_SANITIZE}: choose address, thread, or leave it empty")
endif()
if(FERRUN_BUILD_FUZZERS)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
