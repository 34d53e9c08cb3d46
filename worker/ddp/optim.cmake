# Optimizer, schedule and mixed precision. Apart from ferrun_ddp, because they need checkpoints and no process group.
add_library(ferrun_optim STATIC adam.cc autocast.cc grad_scaler.cc step_lr.cc)
target_link_libraries(ferrun_optim PUBLIC ferrun_checkpoint ferrun_torch PRIVATE ferrun_warnings)
