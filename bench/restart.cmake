# How fast and how surely a job comes back after a worker's death.
add_executable(restart_rank ${CMAKE_CURRENT_LIST_DIR}/restart_rank.cc)
target_link_libraries(restart_rank PRIVATE ferrun_client ferrun_warnings)

add_executable(restart_bench ${CMAKE_CURRENT_LIST_DIR}/restart_bench.cc)
target_compile_definitions(restart_bench PRIVATE
  FERRUN_BENCH_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}" FERRUN_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
target_link_libraries(restart_bench PRIVATE ferrun_warnings nlohmann_json::nlohmann_json)
add_dependencies(restart_bench ferrun restart_rank)

if(FERRUN_WITH_TORCH)
  add_executable(allreduce_rank ${CMAKE_CURRENT_LIST_DIR}/allreduce_rank.cc)
  target_link_libraries(allreduce_rank PRIVATE ferrun_ddp ferrun_client ferrun_warnings)
  target_compile_definitions(restart_bench PRIVATE FERRUN_WITH_TORCH)
  add_dependencies(restart_bench allreduce_rank)
endif()
