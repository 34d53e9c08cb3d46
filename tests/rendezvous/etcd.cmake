# etcd as a value, which the simulator has too.
add_library(ferrun_etcd_in_memory STATIC etcd/etcd_in_memory.cc)
target_link_libraries(ferrun_etcd_in_memory PUBLIC ferrun_rendezvous PRIVATE ferrun_warnings nlohmann_json::nlohmann_json)
ferrun_test(etcd_seat_test
  SOURCES etcd/etcd_codec_test.cc etcd/seat_machine_test.cc etcd/seat_model.cc etcd/seat_model_test.cc
    etcd/seat_trouble_test.cc
  LIBS ferrun_etcd_in_memory nlohmann_json::nlohmann_json LABELS unit)
