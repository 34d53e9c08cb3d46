# The trainer under the launcher, on tiny drawn faces.
if(FERRUN_WITH_TORCH)
  add_library(ferrun_train_test_support STATIC train_support.cc)
  target_include_directories(ferrun_train_test_support PUBLIC ${PROJECT_SOURCE_DIR})
  target_compile_definitions(ferrun_train_test_support PRIVATE FERRUN_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  target_link_libraries(ferrun_train_test_support PUBLIC ferrun_process_test_support ferrun_checkpoint PRIVATE ferrun_warnings)
  ferrun_test(train_test SOURCES train_test.cc LIBS ferrun_train_test_support ferrun_report nlohmann_json::nlohmann_json LABELS e2e
              TIMEOUT 600 DEPENDS ferrun worker)
  ferrun_test(train_resume_test SOURCES train_resume_test.cc LIBS ferrun_train_test_support LABELS e2e
              TIMEOUT 900 DEPENDS ferrun worker)
  ferrun_test(train_lost_test SOURCES train_lost_test.cc LIBS ferrun_train_test_support LABELS e2e
              TIMEOUT 600 DEPENDS ferrun worker)
  ferrun_test(train_elastic_test SOURCES train_elastic_test.cc opened_files.cc LIBS ferrun_train_test_support LABELS e2e
              TIMEOUT 600 DEPENDS ferrun worker)
  ferrun_test(train_batch_test SOURCES train_batch_test.cc LIBS ferrun_train_test_support LABELS e2e TIMEOUT 600
              DEPENDS ferrun worker)
  ferrun_test(train_continue_test SOURCES train_continue_test.cc LIBS ferrun_train_test_support LABELS e2e
              TIMEOUT 600 DEPENDS ferrun worker)
endif()
