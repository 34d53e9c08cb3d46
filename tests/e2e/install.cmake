# Sanitizers would have to be asked of the programs that are built against the installation as well.
if(FERRUN_SANITIZE STREQUAL "")
  ferrun_test(install_test SOURCES install_test.cc LABELS e2e TIMEOUT 900)
  target_compile_definitions(install_test PRIVATE
    FERRUN_BUILD_DIR="${CMAKE_BINARY_DIR}" FERRUN_VERSION="${PROJECT_VERSION}" $<$<BOOL:${FERRUN_WITH_TORCH}>:FERRUN_HAS_TORCH>)
endif()
if(FERRUN_WITH_TORCH)
  ferrun_test(worker_manual_test SOURCES worker_manual_test.cc LIBS ferrun_train_core LABELS unit)
endif()
add_test(NAME Setup.JudgesTheCacheAndItsOptions COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/install/setup_test.sh ${PROJECT_SOURCE_DIR})
set_tests_properties(Setup.JudgesTheCacheAndItsOptions PROPERTIES LABELS e2e TIMEOUT 600)
