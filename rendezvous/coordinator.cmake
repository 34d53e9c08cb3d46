target_sources(ferrun_rendezvous PRIVATE
  coordinator_close.cc coordinator_join.cc coordinator_loss.cc coordinator_machine.cc coordinator_rounds.cc
  coordinator_state_codec.cc coordinator_stop.cc coordinator_words.cc
  flap_policy.cc job_root_cause.cc job_terms.cc membership.cc rank_assignment.cc round_decision.cc
  saved_state_policy.cc wording.cc)
