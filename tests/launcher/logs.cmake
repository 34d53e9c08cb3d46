# Workers' output: the rules, one destination, and the router with real pipes, terminals and disks.
ferrun_test(log_rules_test
  SOURCES logs/line_splitter_test.cc logs/log_rules_test.cc
  LIBS ferrun_log_rules)
ferrun_test(log_target_test
  SOURCES logs/log_files_test.cc logs/log_target_test.cc
  LIBS ferrun_logs ferrun_process_test_support)
ferrun_test(log_router_test
  SOURCES logs/log_router_test.cc logs/log_stall_test.cc logs/log_rig.cc
  LIBS ferrun_logs ferrun_process_test_support util)
