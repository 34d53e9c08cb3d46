if(FERRUN_WITH_TORCH)
  add_executable(step_bench ${CMAKE_CURRENT_LIST_DIR}/step_bench.cc)
  target_link_libraries(step_bench PRIVATE ferrun_train ferrun_warnings nlohmann_json::nlohmann_json)
endif()
