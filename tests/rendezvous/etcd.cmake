ferrun_test(etcd_seat_test
  SOURCES etcd/etcd_codec_test.cc etcd/seat_machine_test.cc etcd/seat_model.cc etcd/seat_model_test.cc
    etcd/seat_trouble_test.cc
  LIBS ferrun_rendezvous LABELS unit)
