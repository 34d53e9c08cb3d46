ferrun_test(coordinator_test
  SOURCES coordinator_elastic_test.cc coordinator_loss_test.cc coordinator_random_test.cc coordinator_rank_test.cc
    coordinator_round_test.cc coordinator_takeover_test.cc coordinator_totality_test.cc coordinator_values_test.cc job_root_cause_test.cc
    rank_assignment_test.cc round_decision_test.cc saved_state_policy_test.cc
  LIBS ferrun_rendezvous LABELS unit)
