ferrun_test(reach_test SOURCES dial_journal_test.cc host_election_test.cc ip_address_test.cc LIBS ferrun_rendezvous LABELS unit)

add_executable(ferrun_hanging_lookup hanging_lookup_main.cc)
set_target_properties(ferrun_hanging_lookup PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
target_link_libraries(ferrun_hanging_lookup PRIVATE ferrun_rendezvous_io ferrun_warnings)

ferrun_test(rendezvous_io_test
  SOURCES agent_listener_test.cc boot_timer_test.cc coordinator_server_test.cc local_addresses_test.cc member_link_test.cc resolver_test.cc
    session_connection_test.cc state_file_test.cc store_admission_test.cc store_dial_test.cc
  LIBS ferrun_rendezvous_io DEPENDS ferrun_hanging_lookup LABELS net)
