add_executable(checkpoint_fuzz ${CMAKE_CURRENT_LIST_DIR}/checkpoint_fuzz.cc)
# The program's name is its corpus folder's name.
set_target_properties(checkpoint_fuzz PROPERTIES OUTPUT_NAME checkpoint RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
target_link_options(checkpoint_fuzz PRIVATE -fsanitize=fuzzer)
target_link_libraries(checkpoint_fuzz PRIVATE ferrun_checkpoint_format ferrun_warnings)
