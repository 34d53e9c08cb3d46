// TLS to etcd between a connection's bytes and what they say. Neither blocks nor touches a socket.
//
// Ownership: a stream is its connection's and keeps the context alive. Thread rule: all on the thread that runs the
// client's loop.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "common/result.h"
#include "rendezvous/etcd/tls_files.h"
#include "rendezvous/io/etcd/openssl.h"

namespace ferrun::etcd {

// What all connections share: whom they trust, and who they are.
class TlsContext {
 public:
  // Loads OpenSSL and reads the files. kPlatform without OpenSSL, kUser for a file that cannot be used, by its setting.
  static Result<std::shared_ptr<const TlsContext>> make(const TlsFiles& files);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

 private:
  friend class TlsStream;
  TlsContext(std::shared_ptr<const OpenSsl> openssl, OpenSslContext* context, bool shows_certificate)
      : openssl_(std::move(openssl)), context_(context), shows_certificate_(shows_certificate) {}

  const std::shared_ptr<const OpenSsl> openssl_;
  OpenSslContext* const context_;
  const bool shows_certificate_;
};

// Why a stream has come to nothing, as the predicate of a sentence about the server.
struct TlsFailure {
  std::string line;
  bool final = false;  // the same server will say the same again
};

class TlsStream {
 public:
  // To `host`, a name or an address, which the server's certificate has to be for.
  TlsStream(std::shared_ptr<const TlsContext> context, const std::string& host);
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  // Plain text for the server, once the handshake is done.
  void write(std::string_view text);
  // What has to go over the wire now; empty: nothing.
  std::string take_outgoing();
  // Bytes have come over the wire; returns the plain text in them. Nothing more after a failure().
  std::string receive(std::string_view bytes);
  // The server has ended the connection.
  void ended();

  // Empty as long as all is well.
  const TlsFailure& failure() const { return failure_; }

 private:
  void go_on();
  void fail(int answer);
  // Empty for what may pass.
  std::string why_refused(unsigned long cause) const;

  const std::shared_ptr<const TlsContext> context_;
  const OpenSsl& call_;
  OpenSslSession* const session_;
  OpenSslBio* const in_;
  OpenSslBio* const out_;
  bool established_ = false;
  bool heard_ = false;   // from the server, anything
  std::string waiting_;  // plain text, for the end of the handshake
  std::string arrived_;  // plain text
  TlsFailure failure_;
};

}  // namespace ferrun::etcd
