# Under the real Slurm, where scripts/slurm-cluster can start one.
add_library(ferrun_slurm_run STATIC slurm_run.cc)
target_compile_definitions(ferrun_slurm_run PUBLIC FERRUN_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}"
  PRIVATE FERRUN_SLURM_CLUSTER="${PROJECT_SOURCE_DIR}/scripts/slurm-cluster")
target_link_libraries(ferrun_slurm_run PUBLIC ferrun_process_test_support PRIVATE ferrun_warnings)
ferrun_test(slurm_test SOURCES slurm_test.cc LIBS ferrun_slurm_run LABELS e2e TIMEOUT 600 DEPENDS ferrun)
if(FERRUN_WITH_TORCH)
  ferrun_test(slurm_train_test SOURCES slurm_train_test.cc LIBS ferrun_slurm_run LABELS e2e TIMEOUT 900 PROCESSORS 2
              DEPENDS ferrun worker)
endif()
