if(FERRUN_WITH_TORCH)
  add_executable(ddp_step ${CMAKE_CURRENT_LIST_DIR}/ddp_step.cc)
  target_link_libraries(ddp_step PRIVATE ferrun_ddp ferrun_optim ferrun_warnings)
endif()
