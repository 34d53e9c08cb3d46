# ferrun itself and its workers' output: files, prefixes, floods, consoles and disks that fail; side by side with torchrun.
ferrun_test(logs_test SOURCES logs_test.cc LIBS ferrun_process_test_support util LABELS e2e TIMEOUT 600
            DEPENDS ferrun probe_worker)
ferrun_test(logs_parity_test SOURCES logs_parity_test.cc LIBS ferrun_process_test_support LABELS e2e parity TIMEOUT 600
            DEPENDS ferrun)
