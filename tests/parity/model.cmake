# The model, its optimizer, its scaler and its checkpoints against Python's.
ferrun_test(model_parity_test
            SOURCES adam_test.cc checkpoint_test.cc model_comparison.cc model_reference_test.cc model_test.cc peer_values.cc
                    scaler_test.cc
            LIBS ferrun_model ferrun_optim nlohmann_json::nlohmann_json LABELS parity TIMEOUT 600)
# Optimizers, schedules, clipping and averages against torch.optim's.
ferrun_test(saved_run_parity_test SOURCES distributed_checkpoint_test.cc peer_values.cc saved_parts_test.cc
            LIBS ferrun_ddp ferrun_optim nlohmann_json::nlohmann_json LABELS parity TIMEOUT 600)
ferrun_test(optim_parity_test SOURCES averaging_test.cc peer_values.cc lr_schedules_test.cc param_groups_test.cc schedule_test.cc sgd_test.cc swa_test.cc
            LIBS ferrun_optim nlohmann_json::nlohmann_json LABELS parity TIMEOUT 600)
