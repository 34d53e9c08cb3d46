#include "rendezvous/io/etcd/openssl.h"

#include <dlfcn.h>

#include <string>
#include <type_traits>

namespace ferrun::etcd {
namespace {

// Handlers of exit() would race with whoever still holds a session then; the kernel frees it all.
constexpr uint64_t kInitNoAtExit = 0x00080000;

}  // namespace

Result<std::shared_ptr<const OpenSsl>> OpenSsl::load() {
  // Brings libcrypto.so.3, where its other calls are found.
  void* library = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return Error{ErrorKind::kPlatform, "OpenSSL 3 is not there (" + std::string(dlerror()) + ")"};
  const auto calls = std::make_shared<OpenSsl>();
  if (!calls->find_all(library)) {
    return Error{ErrorKind::kPlatform, "OpenSSL 3 lacks calls that it should have (libssl.so.3)"};
  }
  if (calls->init(kInitNoAtExit, nullptr) != 1) {
    return Error{ErrorKind::kPlatform, "OpenSSL 3 does not start (its configuration, openssl.cnf?)"};
  }
  return std::shared_ptr<const OpenSsl>(calls);
}

bool OpenSsl::find_all(void* library) {
  bool all = true;
  const auto find = [&all, library](auto& call, const char* name) {
    call = reinterpret_cast<std::remove_reference_t<decltype(call)>>(dlsym(library, name));
    all = all && call != nullptr;
  };
  find(init, "OPENSSL_init_ssl");
  find(client_method, "TLS_client_method");
  find(new_context, "SSL_CTX_new");
  find(free_context, "SSL_CTX_free");
  find(control_context, "SSL_CTX_ctrl");
  find(set_verify, "SSL_CTX_set_verify");
  find(trust_system, "SSL_CTX_set_default_verify_paths");
  find(trust_file, "SSL_CTX_load_verify_locations");
  find(set_password_call, "SSL_CTX_set_default_passwd_cb");
  find(use_certificate, "SSL_CTX_use_certificate_chain_file");
  find(use_key, "SSL_CTX_use_PrivateKey_file");
  find(new_session, "SSL_new");
  find(free_session, "SSL_free");
  find(control_session, "SSL_ctrl");
  find(verification, "SSL_get0_param");
  find(expect_name, "SSL_set1_host");
  find(expect_address, "X509_VERIFY_PARAM_set1_ip_asc");
  find(verify_result, "SSL_get_verify_result");
  find(verify_words, "X509_verify_cert_error_string");
  find(set_bios, "SSL_set_bio");
  find(set_connect, "SSL_set_connect_state");
  find(handshake, "SSL_do_handshake");
  find(read, "SSL_read");
  find(write, "SSL_write");
  find(session_error, "SSL_get_error");
  find(memory_bio, "BIO_s_mem");
  find(new_bio, "BIO_new");
  find(read_bio, "BIO_read");
  find(write_bio, "BIO_write");
  find(first_error, "ERR_peek_error");
  find(clear_errors, "ERR_clear_error");
  find(reason_words, "ERR_reason_error_string");
  return all;
}

}  // namespace ferrun::etcd
