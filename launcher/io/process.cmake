# Starting, watching and ending processes; the sentinel.
add_library(ferrun_process STATIC descendants.cc fork_note.cc fork_template.cc lease_guard.cc lease_watch.cc process_launcher.cc sentinel.cc spawn.cc spawn_failure.cc)
target_link_libraries(ferrun_process PUBLIC ferrun_common ferrun_asio PRIVATE ferrun_warnings)
