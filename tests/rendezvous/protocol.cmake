ferrun_test(protocol_test
  SOURCES wire/frame_codec_test.cc wire/hmac_test.cc job/job_status_test.cc wire/message_codec_test.cc job/protocol_document_test.cc wire/session_attack_test.cc
    wire/session_test.cc
  LIBS ferrun_rendezvous LABELS unit)
