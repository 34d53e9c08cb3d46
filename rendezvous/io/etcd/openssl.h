// OpenSSL 3 as far as a TLS client needs it, loaded at run time: who speaks to etcd without TLS pays nothing for it,
// and nothing of it is needed to build.
//
// Stays loaded until the process ends, as libcrypto demands. Its objects are their makers'; one thread at a time for
// each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "common/result.h"

namespace ferrun::etcd {

// As in OpenSSL's headers, whose structures are nobody's business but its own.
struct OpenSslContext;
struct OpenSslSession;
struct OpenSslBio;
struct OpenSslBioKind;
struct OpenSslMethod;
struct OpenSslVerification;

struct OpenSsl {
  static Result<std::shared_ptr<const OpenSsl>> load();  // kPlatform names the library that is not there

  int (*init)(uint64_t options, const void* settings) = nullptr;
  const OpenSslMethod* (*client_method)() = nullptr;
  OpenSslContext* (*new_context)(const OpenSslMethod*) = nullptr;
  void (*free_context)(OpenSslContext*) = nullptr;
  long (*control_context)(OpenSslContext*, int command, long number, void* pointer) = nullptr;
  void (*set_verify)(OpenSslContext*, int mode, void* callback) = nullptr;
  int (*trust_system)(OpenSslContext*) = nullptr;
  int (*trust_file)(OpenSslContext*, const char* file, const char* folder) = nullptr;
  void (*set_password_call)(OpenSslContext*, int (*)(char*, int, int, void*)) = nullptr;
  int (*use_certificate)(OpenSslContext*, const char* file) = nullptr;
  int (*use_key)(OpenSslContext*, const char* file, int type) = nullptr;
  OpenSslSession* (*new_session)(OpenSslContext*) = nullptr;
  void (*free_session)(OpenSslSession*) = nullptr;
  long (*control_session)(OpenSslSession*, int command, long number, void* pointer) = nullptr;
  OpenSslVerification* (*verification)(OpenSslSession*) = nullptr;
  int (*expect_name)(OpenSslSession*, const char* name) = nullptr;
  int (*expect_address)(OpenSslVerification*, const char* address) = nullptr;
  long (*verify_result)(const OpenSslSession*) = nullptr;
  const char* (*verify_words)(long result) = nullptr;
  void (*set_bios)(OpenSslSession*, OpenSslBio* in, OpenSslBio* out) = nullptr;
  void (*set_connect)(OpenSslSession*) = nullptr;
  int (*handshake)(OpenSslSession*) = nullptr;
  int (*read)(OpenSslSession*, void*, int) = nullptr;
  int (*write)(OpenSslSession*, const void*, int) = nullptr;
  int (*session_error)(const OpenSslSession*, int answer) = nullptr;
  const OpenSslBioKind* (*memory_bio)() = nullptr;
  OpenSslBio* (*new_bio)(const OpenSslBioKind*) = nullptr;
  int (*read_bio)(OpenSslBio*, void*, int) = nullptr;
  int (*write_bio)(OpenSslBio*, const void*, int) = nullptr;
  unsigned long (*first_error)() = nullptr;
  void (*clear_errors)() = nullptr;
  const char* (*reason_words)(unsigned long error) = nullptr;

 private:
  bool find_all(void* library);
};

}  // namespace ferrun::etcd
