# Workers' output: pure rules without I/O, and the adapters that read pipes and write files and consoles.
add_library(ferrun_log_rules STATIC
  ${PROJECT_SOURCE_DIR}/launcher/workers/log_flow.cc
  ${PROJECT_SOURCE_DIR}/launcher/workers/log_loss.cc
  ${PROJECT_SOURCE_DIR}/launcher/workers/log_queue.cc
  ${PROJECT_SOURCE_DIR}/launcher/workers/log_tail.cc)
target_compile_options(ferrun_log_rules PRIVATE "${FERRUN_QUICK_CODE}")
target_link_libraries(ferrun_log_rules PUBLIC ferrun_common PRIVATE ferrun_warnings)

add_library(ferrun_logs STATIC log_console.cc log_files.cc log_pipe.cc log_router.cc log_target.cc log_writer.cc)
target_compile_options(ferrun_logs PRIVATE "${FERRUN_QUICK_CODE}")
target_link_libraries(ferrun_logs PUBLIC ferrun_log_rules ferrun_asio PRIVATE ferrun_warnings)
