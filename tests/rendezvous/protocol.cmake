ferrun_test(protocol_test
  SOURCES frame_codec_test.cc hmac_test.cc job_status_test.cc message_codec_test.cc protocol_document_test.cc session_attack_test.cc
    session_test.cc
  LIBS ferrun_rendezvous LABELS unit)
