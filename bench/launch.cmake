# Launchers side by side; needs none of ferrun's libraries.
add_executable(launch_bench_worker launch_bench_worker.cc)
target_link_libraries(launch_bench_worker PRIVATE ferrun_warnings)
add_executable(launch_bench launch_bench.cc launch_bench_process.cc)
target_link_libraries(launch_bench PRIVATE ferrun_warnings nlohmann_json::nlohmann_json)
add_dependencies(launch_bench ferrun launch_bench_worker)
