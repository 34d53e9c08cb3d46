add_executable(images_fuzz ${CMAKE_CURRENT_LIST_DIR}/images_fuzz.cc)
# The program's name is its corpus folder's name.
set_target_properties(images_fuzz PROPERTIES OUTPUT_NAME images RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
target_link_options(images_fuzz PRIVATE -fsanitize=fuzzer)
target_link_libraries(images_fuzz PRIVATE ferrun_data ferrun_warnings)
