# ferrun itself under kills, stops and signals.
ferrun_test(kill_test SOURCES kill_test.cc LIBS ferrun_process_test_support LABELS e2e TIMEOUT 600
            DEPENDS ferrun fork_probe_worker)
