# Several agents of one job on this machine.
add_library(ferrun_nodes_run STATIC nodes_run.cc)
target_compile_definitions(ferrun_nodes_run PRIVATE FERRUN_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
target_link_libraries(ferrun_nodes_run PUBLIC ferrun_process_test_support PRIVATE ferrun_warnings)
foreach(part nodes nodes_failures nodes_lost nodes_name nodes_state nodes_words root_cause)
  ferrun_test(${part}_test SOURCES ${part}_test.cc LIBS ferrun_nodes_run ferrun_rendezvous LABELS e2e TIMEOUT 600 DEPENDS ferrun)
endforeach()
# A file server that does not answer, to be preloaded.
add_library(hung_disk MODULE hung_disk.cc)
set_target_properties(hung_disk PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
target_link_libraries(hung_disk PRIVATE ferrun_warnings ${CMAKE_DL_LIBS})
ferrun_test(hung_disk_test SOURCES hung_disk_test.cc LIBS ferrun_nodes_run LABELS e2e TIMEOUT 600 DEPENDS ferrun hung_disk)
