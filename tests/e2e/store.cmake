# Ranks that meet through the launcher's store; python_*.py are their Python twins.
if(FERRUN_WITH_TORCH)
  add_executable(store_rank store_rank.cc)
  set_target_properties(store_rank PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(store_rank PRIVATE ferrun_ddp ferrun_client ferrun_warnings)
  ferrun_test(store_ranks_test SOURCES store_ranks_test.cc LIBS ferrun_launcher_run LABELS e2e parity TIMEOUT 900
              DEPENDS ferrun store_rank)
endif()
