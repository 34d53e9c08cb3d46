ferrun_test(member_machine_test SOURCES member_lease_test.cc member_machine_test.cc member_random_test.cc member_session_test.cc
  LIBS ferrun_rendezvous LABELS unit)
