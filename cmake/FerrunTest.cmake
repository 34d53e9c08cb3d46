include(GoogleTest)
include(CMakeParseArguments)

# ferrun_test(NAME SOURCES file... [LIBS target...] [LABELS label...] [TIMEOUT seconds] [PROCESSORS n]
#             [DEPENDS target...])
# One GoogleTest program, its cases known to CTest by name. TIMEOUT (default 400) is a hang limit for one
# case, not a measure of speed. PROCESSORS (default 1) is how many of CTest's places a case
# takes: those that run many interpreters or trainers would otherwise all run at once. Every program finds its helpers through FERRUN_BIN_DIR and the sources
# through FERRUN_SOURCE_DIR.
function(ferrun_test NAME)
  cmake_parse_arguments(ARG "" "TIMEOUT;PROCESSORS" "SOURCES;LIBS;LABELS;DEPENDS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 400)
  endif()
  if(NOT ARG_PROCESSORS)
    set(ARG_PROCESSORS 1)
  endif()
  add_executable(${NAME} ${ARG_SOURCES})
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_include_directories(${NAME} PRIVATE ${PROJECT_SOURCE_DIR})
  # What is tested is optimized as it is shipped; of the tests themselves only the building takes time.
  target_compile_options(${NAME} PRIVATE $<$<CONFIG:Release>:-O0>)
  target_compile_definitions(${NAME} PRIVATE
    FERRUN_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}" FERRUN_SOURCE_DIR="${PROJECT_SOURCE_DIR}" FERRUN_TEST_BIN_DIR="${CMAKE_BINARY_DIR}/tests")
  target_link_libraries(${NAME} PRIVATE ${ARG_LIBS} ferrun_warnings GTest::gmock GTest::gtest GTest::gtest_main)
  if(ARG_DEPENDS)
    add_dependencies(${NAME} ${ARG_DEPENDS})
  endif()
  # One word: CTest matches parts of it, and the discovery script would take a second one for a property.
  string(REPLACE ";" "-" labels "${ARG_LABELS}")
  # Programs with LibTorch take their time to list their cases on a machine that is busy.
  gtest_discover_tests(${NAME} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT ${ARG_TIMEOUT} PROCESSORS ${ARG_PROCESSORS} LABELS "${labels}")
endfunction()
