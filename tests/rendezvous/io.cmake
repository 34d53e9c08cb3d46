ferrun_test(reach_test SOURCES member/dial_journal_test.cc coordinator/host_election_test.cc job/ip_address_test.cc LIBS ferrun_rendezvous LABELS unit)

add_executable(ferrun_hanging_lookup io/hanging_lookup_main.cc)
set_target_properties(ferrun_hanging_lookup PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
target_link_libraries(ferrun_hanging_lookup PRIVATE ferrun_rendezvous_io ferrun_warnings)

ferrun_test(rendezvous_io_test
  SOURCES io/agent_listener_test.cc io/boot_timer_test.cc io/coordinator_server_test.cc io/local_addresses_test.cc io/member_link_test.cc io/resolver_test.cc
    io/session_connection_test.cc io/state_claim_test.cc io/state_file_test.cc io/store_admission_test.cc io/store_dial_test.cc
  LIBS ferrun_rendezvous_io DEPENDS ferrun_hanging_lookup LABELS net)
