add_library(store_server_process STATIC store_server_process.cc)
target_link_libraries(store_server_process PRIVATE ferrun_warnings)

add_executable(store_scale_bench store_scale_bench.cc store_crowd.cc)
target_compile_definitions(store_scale_bench PRIVATE FERRUN_BENCH_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}"
                                                     FERRUN_BENCH_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}")
target_link_libraries(store_scale_bench PRIVATE store_server_process ferrun_warnings nlohmann_json::nlohmann_json)
add_dependencies(store_scale_bench ferrun)

if(FERRUN_WITH_TORCH)
  add_executable(store_bench store_bench.cc)
  target_compile_definitions(store_bench PRIVATE FERRUN_BENCH_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  target_link_libraries(store_bench PRIVATE store_server_process ferrun_torch ferrun_warnings nlohmann_json::nlohmann_json)
  add_dependencies(store_bench ferrun)
endif()
