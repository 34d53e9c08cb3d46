# Optimizers, schedules, mixed precision, samplers. Apart from ferrun_ddp, because they need checkpoints and no process group.
add_library(ferrun_optim STATIC
  adam.cc apply_lr.cc autocast.cc batch_memory.cc batch_rows.cc checkpoint.cc checkpoint_saver.cc class_weights.cc cosine_annealing_lr.cc cyclic_lr.cc distributed_checkpoint.cc grad_scaler.cc gradient_norm.cc linear_lr.cc lr_schedule.cc
  moving_average.cc named_optimizer_state.cc one_thread.cc optimizer.cc random_state.cc reduce_lr_on_plateau.cc sampler.cc schedule_state.cc sequential_lr.cc sgd.cc state_fields.cc step_lr.cc
  torch_optimizer_state.cc)
target_link_libraries(ferrun_optim PUBLIC ferrun_checkpoint ferrun_sampler ferrun_torch ${CMAKE_DL_LIBS} PRIVATE ferrun_warnings)
