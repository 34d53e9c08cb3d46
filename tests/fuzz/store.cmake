add_executable(store_fuzz ${CMAKE_CURRENT_LIST_DIR}/store_codec_fuzz.cc)
# The program's name is its corpus folder's name.
set_target_properties(store_fuzz PROPERTIES OUTPUT_NAME store RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
target_link_options(store_fuzz PRIVATE -fsanitize=fuzzer)
target_link_libraries(store_fuzz PRIVATE ferrun_rendezvous ferrun_warnings)
