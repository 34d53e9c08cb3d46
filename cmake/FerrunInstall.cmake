# cmake --install: programs, the libraries with their headers as the CMake package "ferrun", manual pages, completions
# and documents. Components, as packages take them: ferrun (the launcher), dev (the libraries), worker (the trainer).
#
# Headers of the libraries keep their places under include/ferrun/internal; programs include <ferrun/client.h> and
# <ferrun/ddp.h>.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(_ferrun_program_dir ${CMAKE_INSTALL_BINDIR})
if(DEFINED SKBUILD_SCRIPTS_DIR)
  set(_ferrun_program_dir ${SKBUILD_SCRIPTS_DIR})  # a wheel's programs have a place of their own
endif()
set(_ferrun_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ferrun)
set(_ferrun_internal_dir ${CMAKE_INSTALL_INCLUDEDIR}/ferrun/internal)

# ferrun_export(TARGET NAME): installs the library and makes it known to find_package as ferrun::NAME. Its paths into the
# source tree and its compiler warnings stay here.
function(ferrun_export TARGET NAME)
  get_target_property(folders ${TARGET} INTERFACE_INCLUDE_DIRECTORIES)
  if(NOT folders)
    set(folders "")
  endif()
  list(FILTER folders EXCLUDE REGEX "INSTALL_INTERFACE")
  list(TRANSFORM folders REPLACE "^${PROJECT_SOURCE_DIR}.*" "$<BUILD_INTERFACE:\\0>")
  get_target_property(libraries ${TARGET} INTERFACE_LINK_LIBRARIES)
  if(libraries)
    list(FILTER libraries EXCLUDE REGEX "ferrun_warnings")
  else()
    set(libraries "")
  endif()
  set_target_properties(${TARGET} PROPERTIES
    EXPORT_NAME ${NAME}
    INTERFACE_LINK_LIBRARIES "${libraries}"
    INTERFACE_INCLUDE_DIRECTORIES
      "${folders};$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR};${_ferrun_internal_dir}>")
  install(TARGETS ${TARGET} EXPORT ferrun ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)
endfunction()

# ferrun_install_headers(FOLDER...): the headers directly in these folders of the source tree.
function(ferrun_install_headers)
  foreach(folder IN LISTS ARGN)
    file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.h)
    install(FILES ${headers} DESTINATION ${_ferrun_internal_dir}/${folder} COMPONENT dev)
  endforeach()
endfunction()

install(TARGETS ferrun RUNTIME DESTINATION ${_ferrun_program_dir} COMPONENT ferrun)
ferrun_export(ferrun_common common)
ferrun_export(ferrun_client client)
ferrun_install_headers(common)
install(DIRECTORY worker/client/ferrun DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev FILES_MATCHING PATTERN "*.h")

if(FERRUN_WITH_TORCH)
  install(TARGETS worker RUNTIME COMPONENT worker)
  foreach(_ferrun_library ferrun_checkpoint ferrun_sampler ferrun_optim ferrun_ddp)
    target_compile_features(${_ferrun_library} PUBLIC cxx_std_20)  # their headers need it, in every project
  endforeach()
  ferrun_export(ferrun_checkpoint_format checkpoint_format)
  ferrun_export(ferrun_checkpoint checkpoint)
  ferrun_export(ferrun_sampler sampler)
  ferrun_export(ferrun_optim optim)
  ferrun_export(ferrun_ddp ddp)
  ferrun_install_headers(worker/checkpoint worker/ddp)
  install(FILES worker/data/ordered_work.h worker/data/random.h worker/data/randperm.h worker/data/split.h
    DESTINATION ${_ferrun_internal_dir}/worker/data COMPONENT dev)
  install(DIRECTORY worker/ddp/ferrun DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev FILES_MATCHING PATTERN "*.h")
  if(TARGET ferrun_cuda)
    install(TARGETS ferrun_cuda LIBRARY DESTINATION lib/ferrun COMPONENT worker)  # seen from the worker: ../lib/ferrun
  endif()
  install(FILES cmake/FerrunTorch.cmake DESTINATION ${_ferrun_package_dir} COMPONENT dev)
  install(DIRECTORY cmake/gloo_declarations DESTINATION ${_ferrun_package_dir} COMPONENT dev)
endif()

configure_package_config_file(cmake/ferrun-config.cmake.in ${PROJECT_BINARY_DIR}/ferrun-config.cmake
  INSTALL_DESTINATION ${_ferrun_package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ferrun-config-version.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT ferrun NAMESPACE ferrun:: FILE ferrun-targets.cmake DESTINATION ${_ferrun_package_dir} COMPONENT dev)
install(FILES ${PROJECT_BINARY_DIR}/ferrun-config.cmake ${PROJECT_BINARY_DIR}/ferrun-config-version.cmake
  DESTINATION ${_ferrun_package_dir} COMPONENT dev)

# The completions come from the program's table of options, by the program itself; in a build for another kind of machine
# by CMAKE_CROSSCOMPILING_EMULATOR.
set(_ferrun_completions ${PROJECT_BINARY_DIR}/completions)
if(NOT CMAKE_CROSSCOMPILING OR CMAKE_CROSSCOMPILING_EMULATOR)
  add_custom_command(OUTPUT ${_ferrun_completions}/ferrun.bash ${_ferrun_completions}/_ferrun ${_ferrun_completions}/ferrun.fish
    COMMAND ${CMAKE_COMMAND} -E make_directory ${_ferrun_completions}
    COMMAND ferrun --print-completion=bash > ${_ferrun_completions}/ferrun.bash
    COMMAND ferrun --print-completion=zsh > ${_ferrun_completions}/_ferrun
    COMMAND ferrun --print-completion=fish > ${_ferrun_completions}/ferrun.fish
    DEPENDS ferrun VERBATIM COMMENT "Completions for bash, zsh and fish")
  add_custom_target(ferrun_completions ALL DEPENDS ${_ferrun_completions}/ferrun.bash)
install(FILES ${_ferrun_completions}/ferrun.bash RENAME ferrun COMPONENT ferrun
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${_ferrun_completions}/_ferrun COMPONENT ferrun DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${_ferrun_completions}/ferrun.fish COMPONENT ferrun
    DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()

# What `cmake --install` takes for the components ferrun and dev, without the trainer.
add_custom_target(libraries DEPENDS ferrun ferrun_common ferrun_client)
if(TARGET ferrun_completions)
  add_dependencies(libraries ferrun_completions)
endif()
if(FERRUN_WITH_TORCH)
  add_dependencies(libraries ferrun_checkpoint_format ferrun_checkpoint ferrun_sampler ferrun_optim ferrun_ddp)
endif()

install(FILES man/ferrun.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT ferrun)
install(FILES man/ferrun-rendezvous.7 DESTINATION ${CMAKE_INSTALL_MANDIR}/man7 COMPONENT ferrun)
if(FERRUN_WITH_TORCH)
  install(FILES man/worker.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT worker)
endif()
if(NOT SKBUILD)
  install(FILES README.md DESIGN.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT ferrun)
  install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT ferrun)
endif()
# data_parallel uses the worker's model, which is not installed.
install(DIRECTORY examples/ DESTINATION ${CMAKE_INSTALL_DATADIR}/ferrun/examples COMPONENT dev
  PATTERN examples/CMakeLists.txt EXCLUDE PATTERN data_parallel EXCLUDE)
include(FerrunPackage)
