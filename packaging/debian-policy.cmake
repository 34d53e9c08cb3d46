# Run by cpack on what it is about to pack: what Debian's policy wants otherwise than `cmake --install` leaves it.
# SOURCE_DATE_EPOCH is the time of all that is written here, so that two builds are equal.
cmake_policy(VERSION 3.22)
string(TIMESTAMP now "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(GLOB packages ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/*)
foreach(package IN LISTS packages)
  get_filename_component(component ${package} NAME)
  string(TOUPPER ${component} key)
  set(name ${CPACK_DEBIAN_${key}_PACKAGE_NAME})
  if(NOT name)
    continue()
  endif()
  set(share ${package}/usr/share)
  file(COPY_FILE ${CMAKE_CURRENT_LIST_DIR}/debian-copyright ${package}/copyright)
  file(MAKE_DIRECTORY ${share}/doc/${name})
  file(RENAME ${package}/copyright ${share}/doc/${name}/copyright)
  file(COPY_FILE ${CMAKE_CURRENT_LIST_DIR}/../CHANGELOG.md ${share}/doc/${name}/changelog)
  file(REMOVE ${share}/doc/${name}/CHANGELOG.md ${share}/doc/${name}/LICENSE)
  if(EXISTS ${share}/zsh/site-functions)  # there the administrator's are
    file(RENAME ${share}/zsh/site-functions ${share}/zsh/vendor-completions)
  endif()
  if(EXISTS ${package}/usr/bin/worker)  # LibTorch is where this machine's administrator says
    file(MAKE_DIRECTORY ${package}/usr/lib/ferrun)
    file(RENAME ${package}/usr/bin/worker ${package}/usr/lib/ferrun/worker)
    file(RPATH_REMOVE FILE ${package}/usr/lib/ferrun/worker)
    string(REGEX MATCH "^[0-9]+[.][0-9]+" TORCH_MINOR ${CPACK_FERRUN_TORCH_VERSION})
    set(TORCH_DIR ${CPACK_FERRUN_TORCH_DIR})
    configure_file(${CMAKE_CURRENT_LIST_DIR}/worker/worker.sh.in ${package}/usr/bin/worker @ONLY
      FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  endif()
  if(EXISTS ${share}/ferrun/examples)
    file(RENAME ${share}/ferrun/examples ${share}/doc/${name}/examples)
    file(REMOVE_RECURSE ${share}/ferrun)
  endif()
  # This one is of Debian's own revisions, the other of the program.
  file(WRITE ${share}/doc/${name}/changelog.Debian
    "${CPACK_PACKAGE_NAME} (${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}) stable; urgency=medium\n\n"
    "  * Release ${CPACK_PACKAGE_VERSION}: see changelog.gz.\n\n -- ${CPACK_PACKAGE_CONTACT}  ${now}\n")
  file(GLOB_RECURSE pages ${share}/man/*.[1-8])
  foreach(file IN LISTS pages ITEMS ${share}/doc/${name}/changelog ${share}/doc/${name}/changelog.Debian)
    execute_process(COMMAND gzip -9nf ${file} COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
endforeach()
