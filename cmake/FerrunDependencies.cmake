# What the project uses from the distribution; scripts/setup installs it. DESIGN.md gives the reason for each.
find_package(Threads REQUIRED)

# Debian's libboost-dev is 1.74, without Boost.Process v2: 1.81 or newer is required, and its folder
# is the same, so the version decides. Asio's compiled part is common/io/asio.cc, and Process gives
# its handle's header alone: no Boost library is linked.
if(POLICY CMP0167)
  cmake_policy(SET CMP0167 NEW)  # newer CMake leaves it to Boost's own file
endif()
find_package(Boost 1.81 REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(spdlog REQUIRED)

# libsodium's HMAC-SHA256, linked statically: a shared library would be one more to load at every start.
find_path(FERRUN_SODIUM_INCLUDE_DIR sodium/crypto_auth_hmacsha256.h REQUIRED)
find_library(FERRUN_SODIUM_LIBRARY libsodium.a REQUIRED)
add_library(ferrun_sodium STATIC IMPORTED GLOBAL)
set_target_properties(ferrun_sodium PROPERTIES
  IMPORTED_LOCATION ${FERRUN_SODIUM_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${FERRUN_SODIUM_INCLUDE_DIR})

if(NOT FERRUN_LAUNCHER_ONLY)
  # The image decoders need no LibTorch, so they and their tests build without it.
  find_package(JPEG REQUIRED)
  find_package(PNG REQUIRED)
  # Unicode's composed form of folder names; static, for it is small and only the worker has it.
  find_path(FERRUN_UTF8PROC_INCLUDE_DIR utf8proc.h REQUIRED)
  find_library(FERRUN_UTF8PROC_LIBRARY libutf8proc.a REQUIRED)
  add_library(ferrun_utf8proc STATIC IMPORTED GLOBAL)
  set_target_properties(ferrun_utf8proc PROPERTIES
    IMPORTED_LOCATION ${FERRUN_UTF8PROC_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${FERRUN_UTF8PROC_INCLUDE_DIR}
    INTERFACE_COMPILE_DEFINITIONS UTF8PROC_STATIC)

  # The worker's plots: Cairo draws, Pango sets the texts. Both come with one package.
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(ferrun_pangocairo QUIET IMPORTED_TARGET GLOBAL pangocairo fontconfig)
  if(NOT ferrun_pangocairo_FOUND)
    message(FATAL_ERROR "Cairo and Pango, which draw the worker's plots, are missing: install libpango1.0-dev")
  endif()
  add_library(ferrun_pango INTERFACE)
  target_include_directories(ferrun_pango SYSTEM INTERFACE ${ferrun_pangocairo_INCLUDE_DIRS})
  target_link_libraries(ferrun_pango INTERFACE PkgConfig::ferrun_pangocairo)
endif()

if(FERRUN_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()
if(FERRUN_WITH_TORCH)
  include(FerrunTorch)
endif()
