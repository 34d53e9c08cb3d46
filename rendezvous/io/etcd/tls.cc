#include "rendezvous/io/etcd/tls.h"

#include <array>
#include <optional>
#include <utility>

#include "rendezvous/job/ip_address.h"

namespace ferrun::etcd {
namespace {

// As in ssl.h, x509_vfy.h and tls1.h.
constexpr int kVerifyPeer = 1;
constexpr int kFileOfPem = 1;
constexpr int kSetSmallestVersion = 123;
constexpr long kTls12 = 0x0303;
constexpr int kSetServerName = 55;
constexpr long kHostName = 0;
constexpr int kWantsRead = 2;
constexpr int kClosed = 6;
constexpr int kSystemError = 5;
constexpr int kCertificateVerifyFailed = 134;
constexpr long kNameMismatch = 62;
constexpr long kAddressMismatch = 64;
// An alert of the server is a reason, from 1000 on.
constexpr int kAlert = 1000;
constexpr int kFirstOfCertificate = kAlert + 41;  // no_certificate, bad, unsupported, revoked, expired, unknown
constexpr int kLastOfCertificate = kAlert + 46;
constexpr int kUnknownAuthority = kAlert + 48;
constexpr int kCertificateRequired = kAlert + 116;

// Else OpenSSL would ask whoever sits at the terminal.
int no_password(char*, int, int, void*) { return -1; }

int reason_of(unsigned long error) { return static_cast<int>(error & 0x7FFFFF); }

std::string words_of(const OpenSsl& call, unsigned long error) {
  const char* words = call.reason_words(error);
  return words != nullptr ? words : "error " + std::to_string(error);
}

// Of the error that came first, which is what the others follow from.
Error unusable(const OpenSsl& call, const std::string& setting, const std::string& file) {
  return Error{ErrorKind::kUser,
               setting + "=" + file + " of --rdzv-conf cannot be used (" + words_of(call, call.first_error()) + ")"};
}

Status use_files(const OpenSsl& call, OpenSslContext* context, const TlsFiles& files) {
  call.clear_errors();
  const bool trusts = files.cacert.empty() ? call.trust_system(context) == 1
                                           : call.trust_file(context, files.cacert.c_str(), nullptr) == 1;
  if (!trusts) return unusable(call, "cacert", files.cacert);
  if (files.cert.empty()) return ok_status();
  call.set_password_call(context, &no_password);
  if (call.use_certificate(context, files.cert.c_str()) != 1) return unusable(call, "cert", files.cert);
  if (call.use_key(context, files.key.c_str(), kFileOfPem) != 1) return unusable(call, "key", files.key);
  return ok_status();
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::make(const TlsFiles& files) {
  Result<std::shared_ptr<const OpenSsl>> openssl = OpenSsl::load();
  if (!openssl) return Error{openssl.error().kind, "TLS: " + openssl.error().message};
  const OpenSsl& call = **openssl;
  OpenSslContext* const context = call.new_context(call.client_method());
  if (context == nullptr) return Error{ErrorKind::kPlatform, "TLS: OpenSSL 3 makes no context"};
  std::shared_ptr<const TlsContext> made(new TlsContext(*openssl, context, !files.cert.empty()));
  call.control_context(context, kSetSmallestVersion, kTls12, nullptr);
  call.set_verify(context, kVerifyPeer, nullptr);
  if (Status used = use_files(call, context, files); !used) return used.error();
  return made;
}

TlsContext::~TlsContext() { openssl_->free_context(context_); }

TlsStream::TlsStream(std::shared_ptr<const TlsContext> context, const std::string& host)
    : context_(std::move(context)),
      call_(*context_->openssl_),
      session_(call_.new_session(context_->context_)),
      in_(call_.new_bio(call_.memory_bio())),
      out_(call_.new_bio(call_.memory_bio())) {
  call_.set_bios(session_, in_, out_);  // which are the session's from now on
  call_.set_connect(session_);
  bool expects = false;
  if (const std::optional<IpAddress> address = parse_ip_address(host)) {
    const std::string text = to_string(without_zone(*address));
    expects = call_.expect_address(call_.verification(session_), text.c_str()) == 1;
  } else {
    std::string name = host;
    expects = call_.control_session(session_, kSetServerName, kHostName, name.data()) == 1 &&
              call_.expect_name(session_, name.c_str()) == 1;
  }
  if (!expects) failure_ = {"has a name that no certificate can be for", true};
  go_on();
}

TlsStream::~TlsStream() { call_.free_session(session_); }

void TlsStream::write(std::string_view text) {
  waiting_ += text;
  go_on();
}

std::string TlsStream::take_outgoing() {
  std::string bytes;
  std::array<char, 4096> piece{};
  for (int size = 0; (size = call_.read_bio(out_, piece.data(), piece.size())) > 0;) {
    bytes.append(piece.data(), static_cast<size_t>(size));
  }
  return bytes;
}

std::string TlsStream::receive(std::string_view bytes) {
  if (!heard_ && bytes.starts_with("HTTP/")) failure_ = {"speaks HTTP without TLS: its endpoint is http://", true};
  heard_ = true;
  if (!failure_.line.empty()) return {};
  call_.write_bio(in_, bytes.data(), static_cast<int>(bytes.size()));
  go_on();
  return std::exchange(arrived_, {});
}

void TlsStream::ended() {
  if (!failure_.line.empty() || established_) return;
  failure_.line = heard_ ? "ended the connection in the TLS handshake"
                         : "ended the connection in the TLS handshake (does it speak without, http://?)";
}

void TlsStream::go_on() {
  if (!failure_.line.empty()) return;
  call_.clear_errors();
  if (!established_) {
    const int answer = call_.handshake(session_);
    if (answer != 1) return fail(answer);
    established_ = true;
  }
  if (!waiting_.empty()) {
    const int answer = call_.write(session_, waiting_.data(), static_cast<int>(waiting_.size()));
    if (answer <= 0) return fail(answer);
    waiting_.clear();  // memory takes all
  }
  std::array<char, 4096> piece{};
  int size = 0;
  while ((size = call_.read(session_, piece.data(), piece.size())) > 0) {
    arrived_.append(piece.data(), static_cast<size_t>(size));
  }
  fail(size);
}

// No failure where it has to wait for more, or the server will send no more.
void TlsStream::fail(int answer) {
  const int error = call_.session_error(session_, answer);
  if (error == kWantsRead || error == kClosed) return;
  if (error == kSystemError) {
    failure_.line = "broke the TLS connection off";
    return;
  }
  const unsigned long cause = call_.first_error();
  const std::string refused = why_refused(cause);
  failure_ = {refused.empty() ? "fails in TLS (" + words_of(call_, cause) + ")" : refused, !refused.empty()};
}

std::string TlsStream::why_refused(unsigned long cause) const {
  const int reason = reason_of(cause);
  if (reason == kCertificateVerifyFailed) {
    const long result = call_.verify_result(session_);
    const std::string words = call_.verify_words(result);
    if (result == kNameMismatch || result == kAddressMismatch) {
      return "has a certificate for other names (" + words + "): --rdzv-endpoint needs one of those";
    }
    return "has a certificate that is not trusted (" + words + "): cacert of --rdzv-conf names whom to trust";
  }
  const bool about_certificate = (reason >= kFirstOfCertificate && reason <= kLastOfCertificate) ||
                                 reason == kUnknownAuthority || reason == kCertificateRequired;
  if (!about_certificate) return {};
  if (!context_->shows_certificate_) return "wants a client's certificate: cert and key of --rdzv-conf";
  return "refuses the client's certificate (" + words_of(call_, cause) + ")";
}

}  // namespace ferrun::etcd
