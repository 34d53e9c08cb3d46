ferrun_test(coordinator_test
  SOURCES coordinator/coordinator_elastic_test.cc coordinator/coordinator_loss_test.cc coordinator/coordinator_random_test.cc coordinator/coordinator_rank_test.cc
    coordinator/coordinator_round_test.cc coordinator/coordinator_round_trip_test.cc coordinator/coordinator_takeover_test.cc coordinator/coordinator_totality_test.cc coordinator/coordinator_values_test.cc coordinator/job_root_cause_test.cc
    coordinator/rank_assignment_test.cc coordinator/round_decision_test.cc coordinator/saved_state_policy_test.cc
  LIBS ferrun_rendezvous LABELS unit)

# The coordinator's parts, each alone.
ferrun_test(coordinator_parts_test
  SOURCES
    coordinator/announcer_test.cc
    coordinator/departures_test.cc
    coordinator/incarnation_claim_test.cc
    coordinator/job_closing_test.cc
    coordinator/job_record_test.cc
    coordinator/place_policy_test.cc
    coordinator/round_gathering_test.cc
    coordinator/round_preparation_test.cc
    coordinator/round_roster_test.cc
    coordinator/running_round_test.cc
    coordinator/stop_inquiry_test.cc
    coordinator/takeover_test.cc
    job/restart_policy_test.cc
    job/stall_filter_test.cc
  LIBS ferrun_rendezvous LABELS unit)
