# cpack -G DEB: the Debian packages ferrun and libferrun-dev of a build with FERRUN_LAUNCHER_ONLY, and ferrun-worker of one
# with LibTorch; packaging/deb does it.
set(CPACK_PACKAGE_NAME ferrun)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
# Each package has a description of its own, which this would precede.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")
set(FERRUN_MAINTAINER "ferrun <ferrun@localhost>" CACHE STRING "Maintainer of the Debian packages, with an address")
set(CPACK_PACKAGE_CONTACT ${FERRUN_MAINTAINER})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
if(FERRUN_WITH_TORCH)
  set(CPACK_COMPONENTS_ALL worker)
  # For debian-policy.cmake, which runs in cpack.
  set(CPACK_FERRUN_TORCH_DIR ${FERRUN_TORCH_ROOT_DIR})
  set(CPACK_FERRUN_TORCH_VERSION ${FERRUN_TORCH_FOUND_VERSION})
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${FERRUN_TORCH_ROOT_DIR}/lib)
else()
  set(CPACK_COMPONENTS_ALL ferrun dev)
endif()
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/packaging/debian-policy.cmake)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_FERRUN_PACKAGE_NAME ferrun)
set(CPACK_DEBIAN_FERRUN_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_FERRUN_PACKAGE_SHLIBDEPS ON)
# OpenSSL is loaded for TLS to etcd alone.
set(CPACK_DEBIAN_FERRUN_PACKAGE_SUGGESTS "python3, libssl3")
set(CPACK_COMPONENT_FERRUN_DESCRIPTION "native distributed job launcher for PyTorch
ferrun takes the place of torchrun: the same options, the same environment
for workers and the same log files, in a program that starts in
milliseconds, waits for events instead of polling, and leaves no process
behind. It runs Python scripts and native programs alike, on one node or on
several, and restarts workers when one of them or a node is lost.")
set(CPACK_DEBIAN_DEV_PACKAGE_NAME libferrun-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_SUGGESTS "ferrun (= ${PROJECT_VERSION}-1)")
set(CPACK_COMPONENT_DEV_DESCRIPTION "client library of the ferrun job launcher
For programs in C++ and C that run under ferrun: their rank, reports of
errors and the fork point, as a static library without dependencies, with
its headers, its CMake package and examples.")
set(CPACK_DEBIAN_WORKER_PACKAGE_NAME ferrun-worker)
set(CPACK_DEBIAN_WORKER_PACKAGE_SECTION science)
set(CPACK_DEBIAN_WORKER_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_WORKER_PACKAGE_RECOMMENDS "ferrun, fonts-dejavu-core")
set(CPACK_COMPONENT_WORKER_DESCRIPTION "data-parallel trainer on LibTorch, under the ferrun launcher
Trains an image classifier on any number of processes, resumes exactly after
the loss of one, and predicts, evaluates and exports with what it has
learned. LibTorch is no part of this package: FERRUN_TORCH_DIR or
/etc/ferrun/torch names the folder that holds it.")
include(CPack)
