# Class metrics and event files against scikit-learn and TensorBoard.
ferrun_test(report_parity_test SOURCES report_test.cc LIBS ferrun_report nlohmann_json::nlohmann_json LABELS parity TIMEOUT 600)
