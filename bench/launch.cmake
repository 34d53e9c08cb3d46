# Launchers side by side; needs none of ferrun's libraries.
add_executable(launch_bench_worker launch_bench_worker.cc)
target_link_libraries(launch_bench_worker PRIVATE ferrun_warnings)
add_executable(spawn_floor spawn_floor.cc)
target_link_libraries(spawn_floor PRIVATE ferrun_warnings)
target_link_options(spawn_floor PRIVATE -static)
add_executable(launch_bench launch_bench.cc launch_bench_process.cc)
target_link_libraries(launch_bench PRIVATE ferrun_warnings nlohmann_json::nlohmann_json)
add_dependencies(launch_bench ferrun launch_bench_worker spawn_floor)
