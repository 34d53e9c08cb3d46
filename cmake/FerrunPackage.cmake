# cpack -G DEB: the Debian packages ferrun and libferrun-dev, of a build with FERRUN_LAUNCHER_ONLY; packaging/deb does it.
set(CPACK_PACKAGE_NAME ferrun)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
# Each package has a description of its own, which this would precede.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")
set(FERRUN_MAINTAINER "ferrun <ferrun@localhost>" CACHE STRING "Maintainer of the Debian packages, with an address")
set(CPACK_PACKAGE_CONTACT ${FERRUN_MAINTAINER})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL ferrun dev)
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
set(CPACK_DEBIAN_FERRUN_PACKAGE_SUGGESTS python3)
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
include(CPack)
