add_executable(images_fuzz ${CMAKE_CURRENT_LIST_DIR}/images_fuzz.cc)
# The program's name is its corpus folder's name.
set_target_properties(images_fuzz PROPERTIES OUTPUT_NAME images RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
target_link_options(images_fuzz PRIVATE -fsanitize=fuzzer)
target_link_libraries(images_fuzz PRIVATE ferrun_data ferrun_warnings)

add_executable(recipe_fuzz ${CMAKE_CURRENT_LIST_DIR}/recipe_fuzz.cc)
set_target_properties(recipe_fuzz PROPERTIES OUTPUT_NAME recipe RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
target_link_options(recipe_fuzz PRIVATE -fsanitize=fuzzer)
target_link_libraries(recipe_fuzz PRIVATE ferrun_data ferrun_warnings)
