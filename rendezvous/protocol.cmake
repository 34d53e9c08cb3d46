target_sources(ferrun_rendezvous PRIVATE
  frame_codec.cc frame_seal.cc handshake.cc hmac.cc job_status.cc job_status_text.cc message_codec.cc session.cc)
target_link_libraries(ferrun_rendezvous PUBLIC ferrun_sodium)
