#include "launcher/config/etcd_options.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "common/text.h"
#include "launcher/config/values.h"

namespace ferrun {
namespace {

constexpr uint16_t kEtcdPort = 2379;
constexpr const char* kEtcdPrefix = "/ferrun/";
constexpr std::string_view kPlainScheme = "http://";
constexpr std::string_view kTlsScheme = "https://";
// Of torchrun's names and of etcdctl's.
constexpr std::array<std::string_view, 4> kEtcdSettings = {"user", "password_file", "etcd_prefix", "protocol"};
// torchrun's two back ends with etcd have names of their own for each.
struct FileSetting {
  std::string_view name;
  std::string_view other_name;
  std::string etcd::TlsFiles::*file;
};
constexpr std::array<FileSetting, 3> kTlsSettings = {{{"cacert", "ca_cert", &etcd::TlsFiles::cacert},
                                                      {"cert", "ssl_cert", &etcd::TlsFiles::cert},
                                                      {"key", "ssl_cert_key", &etcd::TlsFiles::key}}};

const FileSetting* tls_setting(std::string_view key) {
  const auto found = std::ranges::find_if(
      kTlsSettings, [key](const FileSetting& setting) { return key == setting.name || key == setting.other_name; });
  return found == kTlsSettings.end() ? nullptr : found;
}

class EtcdReader {
 public:
  EtcdReader(const RawOptions& options, const HostFacts& facts)
      : facts_(facts), conf_(options.value("rdzv-conf")), endpoint_(options.value("rdzv-endpoint")) {}

  Result<EtcdConfig> read() {
    Result<std::map<std::string, std::string>> settings = parse_key_values(conf_.text);
    if (!settings) return Error{ErrorKind::kUsage, conf_.origin + ": " + settings.error().message};
    settings_ = std::move(*settings);
    for (const auto step :
         {&EtcdReader::read_servers, &EtcdReader::refuse_password, &EtcdReader::read_tls, &EtcdReader::read_user}) {
      if (Status done = (this->*step)(); !done) return done.error();
    }
    const std::string prefix = setting("etcd_prefix");
    config_.prefix = prefix.empty() ? kEtcdPrefix : prefix.ends_with('/') ? prefix : prefix + "/";
    return std::move(config_);
  }

 private:
  std::string setting(const std::string& name) const {
    const auto found = settings_.find(name);
    return found == settings_.end() ? std::string() : found->second;
  }

  Status read_servers() {
    if (strip(endpoint_.text).empty()) {
      return Error{ErrorKind::kUsage,
                   "--rdzv-backend=etcd needs --rdzv-endpoint=HOST[:PORT][,HOST[:PORT]...], etcd's client endpoints"};
    }
    for (const std::string& item : split_list(endpoint_.text, ',')) {
      std::string_view text = strip(item);
      for (const auto& [scheme, found] : {std::pair(kPlainScheme, &plain_), std::pair(kTlsScheme, &with_tls_)}) {
        if (!text.starts_with(scheme)) continue;
        text.remove_prefix(scheme.size());
        *found = true;
      }
      while (text.ends_with('/')) text.remove_suffix(1);
      if (text.empty()) return bad_value(endpoint_, "expected HOST[:PORT][,HOST[:PORT]...]");
      const Result<Endpoint> server = parse_endpoint(text, kEtcdPort);
      if (!server) return Error{ErrorKind::kUsage, endpoint_.origin + ": " + server.error().message};
      if (server->port == 0) return bad_value(endpoint_, "no server listens at port 0");
      config_.servers.push_back(*server);
    }
    return ok_status();
  }

  Status refuse_password() {
    if (!settings_.contains("password")) return ok_status();
    return Error{ErrorKind::kUsage, conf_.origin +
                                        ": password: a command line can be read by everybody on the "
                                        "machine; password_file=FILE or " +
                                        kEtcdPasswordVariable};
  }

  // A server without a scheme is like those that have one, or as `protocol` says.
  Status read_tls() {
    const std::string protocol = setting("protocol");
    if (!protocol.empty() && protocol != "http" && protocol != "https") {
      return Error{ErrorKind::kUsage, conf_.origin + ": protocol=" + protocol + ": expected http or https"};
    }
    plain_ |= protocol == "http";
    with_tls_ |= protocol == "https";
    if (plain_ && with_tls_) {
      return Error{ErrorKind::kUsage, endpoint_.origin + "=" + endpoint_.text +
                                          ": all of etcd's servers with TLS (https) or none of them, and protocol of "
                                          "--rdzv-conf the same"};
    }
    if (with_tls_) config_.tls.emplace();
    for (const auto& [key, file] : settings_) {
      const FileSetting* wanted = tls_setting(key);
      if (wanted == nullptr || file.empty()) continue;
      const std::string origin = conf_.origin + ": " + key + "=" + file;
      if (!with_tls_) {
        return Error{ErrorKind::kUsage, origin + " is for TLS: protocol=https, or an endpoint of https://"};
      }
      const Result<std::string> beginning = facts_.files.beginning(file);
      if (!beginning) return Error{ErrorKind::kUser, origin + ": " + beginning.error().message};
      (*config_.tls).*(wanted->file) = file;
    }
    return with_tls_ ? check_key() : ok_status();
  }

  Status check_key() {
    etcd::TlsFiles& tls = *config_.tls;
    if (!tls.key.empty() && tls.cert.empty()) {
      return Error{ErrorKind::kUsage, conf_.origin + ": key=" + tls.key + " needs cert=FILE, the client's certificate"};
    }
    if (tls.key.empty()) tls.key = tls.cert;  // one file may have both
    return ok_status();
  }

  Status read_user() {
    config_.user = setting("user");
    if (config_.user.empty()) config_.user = facts_.environment.get_or(kEtcdUserVariable, "");
    const std::string file = setting("password_file");
    if (file.empty()) {
      config_.password = facts_.environment.get_or(kEtcdPasswordVariable, "");
    } else if (Status done = read_password(file); !done) {
      return done;
    }
    if (!config_.user.empty() && config_.password.empty()) {
      return Error{ErrorKind::kUsage, conf_.origin + ": user=" + config_.user +
                                          " needs a password: password_file=FILE or " + kEtcdPasswordVariable};
    }
    if (config_.user.empty() && !file.empty()) {
      return Error{ErrorKind::kUsage, conf_.origin + ": password_file is given, and no user"};
    }
    return ok_status();
  }

  Status read_password(const std::string& file) {
    const std::string origin = conf_.origin + ": password_file=" + file;
    const Result<FileQueries::Secret> secret = facts_.files.secret(file);
    if (!secret) return Error{ErrorKind::kUser, origin + ": " + secret.error().message};
    config_.password = strip(secret->text);
    if (config_.password.empty()) return Error{ErrorKind::kUser, origin + ": there is no password in it"};
    if (secret->others_may_read) {
      config_.warnings.push_back(origin + ": others on this machine may read it: chmod 600");
    }
    return ok_status();
  }

  const HostFacts& facts_;
  const RawValue conf_;
  const RawValue endpoint_;
  std::map<std::string, std::string> settings_;
  bool plain_ = false;     // asked for, by a scheme or by name
  bool with_tls_ = false;  // likewise
  EtcdConfig config_;
};

}  // namespace

Result<EtcdConfig> read_etcd(const RawOptions& options, const HostFacts& facts) {
  return EtcdReader(options, facts).read();
}

bool is_etcd_setting(const std::string& key) {
  return std::ranges::count(kEtcdSettings, key) > 0 || tls_setting(key) != nullptr;
}

Status check_backend(const RawOptions& options) {
  const RawValue backend = options.value("rdzv-backend");
  if (backend.text == "etcd-v2") {
    return bad_value(backend, "ferrun speaks to etcd by its third API: --rdzv-backend=etcd, with the same endpoint");
  }
  if (backend.text != "static" && backend.text != "c10d" && backend.text != "etcd") {
    return bad_value(backend, "expected static, c10d or etcd");
  }
  return ok_status();
}

}  // namespace ferrun
