ferrun_test(coordinator_test
  SOURCES coordinator/coordinator_elastic_test.cc coordinator/coordinator_loss_test.cc coordinator/coordinator_random_test.cc coordinator/coordinator_rank_test.cc
    coordinator/coordinator_round_test.cc coordinator/coordinator_takeover_test.cc coordinator/coordinator_totality_test.cc coordinator/coordinator_values_test.cc coordinator/job_root_cause_test.cc
    coordinator/rank_assignment_test.cc coordinator/round_decision_test.cc coordinator/saved_state_policy_test.cc
  LIBS ferrun_rendezvous LABELS unit)
