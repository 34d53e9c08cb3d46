ferrun_test(optim_test SOURCES optim_adam_test.cc optim_checkpoint_test.cc optim_checkpoint_saver_test.cc optim_groups_test.cc optim_precision_test.cc optim_schedule_test.cc optim_sgd_test.cc optim_torch_optimizer_test.cc optim_weights_test.cc LIBS ferrun_optim LABELS unit)
ferrun_test(ddp_data_test SOURCES data_loader_test.cc sampler_test.cc LIBS ferrun_optim LABELS unit)
