# Data-parallel training and its checkpoints against Python's.
ferrun_test(ddp_parity_test SOURCES ddp_test.cc peer_values.cc LIBS ferrun_rank_harness ferrun_model ferrun_optim nlohmann_json::nlohmann_json
            LABELS parity TIMEOUT 600)
ferrun_test(ddp_features_parity_test SOURCES collectives_test.cc ddp_features_test.cc ddp_hooks_test.cc peer_values.cc
            LIBS ferrun_rank_harness ferrun_optim nlohmann_json::nlohmann_json LABELS parity TIMEOUT 600)
ferrun_test(worker_checkpoint_test SOURCES train_checkpoint_test.cc weights_test.cc LIBS ferrun_process_test_support nlohmann_json::nlohmann_json
            LABELS parity TIMEOUT 600 DEPENDS worker)
# Batches and early stopping of the trainer against DataLoader and ReduceLROnPlateau.
ferrun_test(tutorial_parity_test SOURCES tutorial_test.cc LIBS ferrun_train_core nlohmann_json::nlohmann_json
            LABELS parity TIMEOUT 600)
ferrun_test(worker_continuation_test SOURCES train_continuation_test.cc peer_values.cc
            LIBS ferrun_process_test_support ferrun_checkpoint nlohmann_json::nlohmann_json LABELS parity TIMEOUT 900 DEPENDS worker)
