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
  # In the place of the CUDA plug-in.
  add_library(stand_in_cuda MODULE stand_in_cuda_plugin.cc)
  set_target_properties(stand_in_cuda PROPERTIES OUTPUT_NAME ferrun_cuda
                        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/stand_in_cuda)
  target_include_directories(stand_in_cuda PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(stand_in_cuda PRIVATE ferrun_torch ferrun_warnings)
  ferrun_test(train_device_test SOURCES train_device_test.cc LIBS ferrun_train_test_support LABELS e2e
              TIMEOUT 600 DEPENDS ferrun worker stand_in_cuda)
  target_compile_definitions(train_device_test PRIVATE FERRUN_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}"
                             FERRUN_STAND_IN_CUDA="$<TARGET_FILE:stand_in_cuda>")
endif()
