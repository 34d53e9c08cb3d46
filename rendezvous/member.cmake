target_sources(ferrun_rendezvous PRIVATE
  member_leaving.cc member_lease.cc member_machine.cc member_rounds.cc member_session.cc member_words.cc member_work.cc)
