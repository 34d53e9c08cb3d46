# LibTorch as the target ferrun_torch, made by hand: find_package(Torch) on PyPI's CUDA wheel demands the CUDA toolkit
# even for a program that uses the CPU alone. The layout is that of the wheel's torch/ folder and of an official archive.
#
# Search order: FERRUN_TORCH_DIR (CMake, then the environment), CMAKE_PREFIX_PATH (likewise), then the folder that an
# installed ferrun was built with, or for a build of ferrun itself the cache that scripts/setup fills.
# Defines FERRUN_TORCH_ROOT_DIR and FERRUN_TORCH_FOUND_VERSION. Installed with ferrun for find_package(ferrun).
include_guard(GLOBAL)
set(FERRUN_TORCH_VERSION 2.11.0)  # what scripts/setup installs
set(FERRUN_TORCH_OLDEST 2.11)

function(_ferrun_torch_candidates OUT)
  set(found "")
  if(FERRUN_TORCH_DIR)
    list(APPEND found "${FERRUN_TORCH_DIR}")
  elseif(NOT "$ENV{FERRUN_TORCH_DIR}" STREQUAL "")
    list(APPEND found "$ENV{FERRUN_TORCH_DIR}")
    # A build that configures itself again, from another shell, stays with the same LibTorch.
    set(FERRUN_TORCH_DIR_OF_ENVIRONMENT "$ENV{FERRUN_TORCH_DIR}" CACHE INTERNAL "FERRUN_TORCH_DIR of the environment")
  elseif(FERRUN_TORCH_DIR_OF_ENVIRONMENT)
    list(APPEND found "${FERRUN_TORCH_DIR_OF_ENVIRONMENT}")
  else()
    string(REPLACE ":" ";" prefixes "$ENV{CMAKE_PREFIX_PATH}")
    foreach(prefix IN LISTS CMAKE_PREFIX_PATH prefixes)
      if(EXISTS "${prefix}/lib/libtorch_cpu.so" AND EXISTS "${prefix}/include/ATen/ATen.h")
        list(APPEND found "${prefix}")
      endif()
    endforeach()
    if(FERRUN_TORCH_BUILT_WITH)
      list(APPEND found "${FERRUN_TORCH_BUILT_WITH}")
    else()
      _ferrun_cache_folder(cache)
      file(GLOB wheel "${cache}/torch-${FERRUN_TORCH_VERSION}/lib/python3*/site-packages/torch")
      list(APPEND found ${wheel})
    endif()
  endif()
  set(${OUT} "${found}" PARENT_SCOPE)
endfunction()

function(_ferrun_cache_folder OUT)
  if(NOT "$ENV{FERRUN_CACHE}" STREQUAL "")
    set(${OUT} "$ENV{FERRUN_CACHE}" PARENT_SCOPE)
  elseif(NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
    set(${OUT} "$ENV{XDG_CACHE_HOME}/ferrun" PARENT_SCOPE)
  else()
    set(${OUT} "$ENV{HOME}/.cache/ferrun" PARENT_SCOPE)
  endif()
endfunction()

function(_ferrun_torch_version ROOT OUT)
  set(header "${ROOT}/include/torch/headeronly/version.h")
  if(NOT EXISTS "${header}")
    set(header "${ROOT}/include/torch/csrc/api/include/torch/version.h")
  endif()
  set(version "unknown")
  if(EXISTS "${header}")
    file(READ "${header}" text)
    if(text MATCHES "TORCH_VERSION_MAJOR ([0-9]+).*TORCH_VERSION_MINOR ([0-9]+).*TORCH_VERSION_PATCH ([0-9]+)")
      set(version "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}.${CMAKE_MATCH_3}")
    endif()
  endif()
  set(${OUT} "${version}" PARENT_SCOPE)
endfunction()

_ferrun_torch_candidates(_ferrun_torch_roots)
set(_ferrun_torch_remedy "Run scripts/setup, or name a LibTorch: -DFERRUN_TORCH_DIR=DIR (DIR holds include/ and lib/). "
  "The launcher alone builds with -DFERRUN_WITH_TORCH=OFF.")
if(NOT _ferrun_torch_roots)
  message(FATAL_ERROR "LibTorch not found. " ${_ferrun_torch_remedy})
endif()
list(GET _ferrun_torch_roots 0 FERRUN_TORCH_ROOT_DIR)
if(NOT EXISTS "${FERRUN_TORCH_ROOT_DIR}/lib/libtorch_cpu.so" OR NOT EXISTS "${FERRUN_TORCH_ROOT_DIR}/include/ATen/ATen.h")
  message(FATAL_ERROR "No LibTorch in ${FERRUN_TORCH_ROOT_DIR}. " ${_ferrun_torch_remedy})
endif()
_ferrun_torch_version("${FERRUN_TORCH_ROOT_DIR}" FERRUN_TORCH_FOUND_VERSION)
if(FERRUN_TORCH_FOUND_VERSION VERSION_LESS FERRUN_TORCH_OLDEST)
  message(FATAL_ERROR "${FERRUN_TORCH_ROOT_DIR} is LibTorch ${FERRUN_TORCH_FOUND_VERSION}; ${FERRUN_TORCH_OLDEST} or newer is needed. "
    ${_ferrun_torch_remedy})
endif()
message(STATUS "LibTorch ${FERRUN_TORCH_FOUND_VERSION}: ${FERRUN_TORCH_ROOT_DIR}")

foreach(_ferrun_library torch_cpu c10)
  add_library(ferrun_${_ferrun_library} SHARED IMPORTED GLOBAL)
  set_target_properties(ferrun_${_ferrun_library} PROPERTIES
    IMPORTED_LOCATION "${FERRUN_TORCH_ROOT_DIR}/lib/lib${_ferrun_library}.so")
endforeach()

add_library(ferrun_torch INTERFACE IMPORTED GLOBAL)
target_include_directories(ferrun_torch INTERFACE
  "${FERRUN_TORCH_ROOT_DIR}/include" "${FERRUN_TORCH_ROOT_DIR}/include/torch/csrc/api/include")
if(NOT EXISTS "${FERRUN_TORCH_ROOT_DIR}/include/gloo/context.h")
  # The wheel has ProcessGroupGloo.hpp but not Gloo's own headers; these declare the few names that it mentions.
  target_include_directories(ferrun_torch INTERFACE "${CMAKE_CURRENT_LIST_DIR}/gloo_declarations")
endif()
target_compile_definitions(ferrun_torch INTERFACE USE_DISTRIBUTED USE_C10D_GLOO)
target_link_libraries(ferrun_torch INTERFACE ferrun_torch_cpu ferrun_c10 Threads::Threads)
# libtorch_cpu.so finds its own dependencies by its rpath, which the linker does not follow.
target_link_options(ferrun_torch INTERFACE -Wl,--allow-shlib-undefined)
