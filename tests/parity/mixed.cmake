# C++ and Python ranks in one job.
add_executable(mixed_rank mixed_rank.cc)
target_link_libraries(mixed_rank PRIVATE ferrun_ddp ferrun_optim ferrun_warnings)
ferrun_test(mixed_ranks_test SOURCES mixed_ranks_test.cc LABELS parity TIMEOUT 600 DEPENDS ferrun mixed_rank)
