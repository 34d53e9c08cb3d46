# Several agents of one job on this machine.
add_library(ferrun_nodes_run STATIC nodes_run.cc)
target_compile_definitions(ferrun_nodes_run PRIVATE FERRUN_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
target_link_libraries(ferrun_nodes_run PUBLIC ferrun_process_test_support PRIVATE ferrun_warnings)
foreach(part nodes nodes_failures nodes_lost nodes_state nodes_words)
  ferrun_test(${part}_test SOURCES ${part}_test.cc LIBS ferrun_nodes_run ferrun_rendezvous LABELS e2e TIMEOUT 300 DEPENDS ferrun)
endforeach()
