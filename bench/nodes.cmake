# A job of several nodes, beside torchrun.
add_executable(nodes_rank ${CMAKE_CURRENT_LIST_DIR}/nodes_rank.cc)
target_link_libraries(nodes_rank PRIVATE ferrun_warnings)
add_executable(nodes_bench ${CMAKE_CURRENT_LIST_DIR}/nodes_bench.cc ${CMAKE_CURRENT_LIST_DIR}/launch_bench_process.cc)
target_compile_definitions(nodes_bench PRIVATE FERRUN_BENCH_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
target_link_libraries(nodes_bench PRIVATE ferrun_warnings nlohmann_json::nlohmann_json)
add_dependencies(nodes_bench ferrun nodes_rank)
