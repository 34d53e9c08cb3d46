# Under the real Slurm, where scripts/slurm-cluster can start one.
ferrun_test(slurm_test SOURCES slurm_test.cc LIBS ferrun_process_test_support LABELS e2e TIMEOUT 300 DEPENDS ferrun)
target_compile_definitions(slurm_test PRIVATE FERRUN_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}"
  FERRUN_SLURM_CLUSTER="${PROJECT_SOURCE_DIR}/scripts/slurm-cluster")
