add_executable(input_bench ${CMAKE_CURRENT_LIST_DIR}/input_bench.cc)
target_compile_definitions(input_bench PRIVATE FERRUN_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
target_link_libraries(input_bench PRIVATE ferrun_data ferrun_warnings nlohmann_json::nlohmann_json)
