# The real ferrun, from its command line to its exit status.
add_library(ferrun_launcher_run STATIC launcher_run.cc)
target_include_directories(ferrun_launcher_run PUBLIC ${PROJECT_SOURCE_DIR})
target_compile_definitions(ferrun_launcher_run PRIVATE FERRUN_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
target_link_libraries(ferrun_launcher_run PUBLIC ferrun_common GTest::gtest PRIVATE ferrun_warnings)

foreach(part arguments error exit output restart signal)
  ferrun_test(launcher_${part}_test SOURCES launcher_${part}_test.cc LIBS ferrun_launcher_run LABELS e2e TIMEOUT 600 DEPENDS ferrun)
endforeach()
ferrun_test(launcher_storm_test SOURCES launcher_storm_test.cc LIBS ferrun_launcher_run ferrun_process_test_support
  LABELS e2e TIMEOUT 600 DEPENDS ferrun)
ferrun_test(launcher_python_test SOURCES launcher_python_test.cc
  LIBS ferrun_launcher_run ferrun_launcher nlohmann_json::nlohmann_json LABELS e2e parity TIMEOUT 600 DEPENDS ferrun)
ferrun_test(launcher_fork_test SOURCES launcher_fork_test.cc
  LIBS ferrun_launcher_run ferrun_launcher_io nlohmann_json::nlohmann_json LABELS e2e parity TIMEOUT 900 DEPENDS ferrun)

ferrun_test(pytorch_suite_test SOURCES pytorch_suite_test.cc LIBS ferrun_launcher_run ferrun_nodes_run nlohmann_json::nlohmann_json
  LABELS e2e parity TIMEOUT 600 DEPENDS ferrun)

ferrun_test(code_order_test SOURCES code_order_test.cc LABELS e2e DEPENDS ferrun)
if(FERRUN_LINKER_ORDERS_CODE AND CMAKE_BUILD_TYPE STREQUAL "Release" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_definitions(code_order_test PRIVATE FERRUN_CODE_IS_ORDERED)
endif()

# By the real sshd.
ferrun_test(hosts_test SOURCES hosts_test.cc ../ssh_files.cc LIBS ferrun_nodes_run ferrun_launcher ferrun_process_test_support LABELS e2e TIMEOUT 600
            DEPENDS ferrun)
