ferrun_test(member_machine_test SOURCES member/member_lease_test.cc member/member_machine_test.cc member/member_random_test.cc member/member_session_test.cc
  LIBS ferrun_rendezvous LABELS unit)
