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
// Of torchrun's names and of etcdctl's; what ferrun cannot do is refused by its name.
constexpr std::array<std::string_view, 3> kEtcdSettings = {"user", "password_file", "etcd_prefix"};
constexpr std::array<std::string_view, 7> kTlsSettings = {"cacert", "ca_cert",      "cert",          "ssl_cert",
                                                          "key",    "ssl_cert_key", "ca_certificate"};

Error no_tls(const std::string& what) {
  return Error{ErrorKind::kUsage, what +
                                      ": ferrun speaks to etcd without TLS; give it an endpoint of http://, as of a "
                                      "proxy on this machine ('etcd grpc-proxy start' and stunnel are two)"};
}

class EtcdReader {
 public:
  EtcdReader(const RawOptions& options, const HostFacts& facts)
      : facts_(facts), conf_(options.value("rdzv-conf")), endpoint_(options.value("rdzv-endpoint")) {}

  Result<EtcdConfig> read() {
    Result<std::map<std::string, std::string>> settings = parse_key_values(conf_.text);
    if (!settings) return Error{ErrorKind::kUsage, conf_.origin + ": " + settings.error().message};
    settings_ = std::move(*settings);
    for (const auto step : {&EtcdReader::read_servers, &EtcdReader::check_settings, &EtcdReader::read_user}) {
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
      if (text.starts_with("https://")) return no_tls(endpoint_.origin + "=" + endpoint_.text);
      if (text.starts_with("http://")) text.remove_prefix(std::string_view("http://").size());
      while (text.ends_with('/')) text.remove_suffix(1);
      if (text.empty()) return bad_value(endpoint_, "expected HOST[:PORT][,HOST[:PORT]...]");
      const Result<Endpoint> server = parse_endpoint(text, kEtcdPort);
      if (!server) return Error{ErrorKind::kUsage, endpoint_.origin + ": " + server.error().message};
      if (server->port == 0) return bad_value(endpoint_, "no server listens at port 0");
      config_.servers.push_back(*server);
    }
    return ok_status();
  }

  Status check_settings() {
    for (const auto& [key, value] : settings_) {
      const std::string what = conf_.origin + ": " + key + "=" + value;
      if (std::ranges::count(kTlsSettings, key) > 0 || (key == "protocol" && value != "http")) return no_tls(what);
      if (key == "password") {
        return Error{ErrorKind::kUsage, conf_.origin +
                                            ": password: a command line can be read by everybody on the "
                                            "machine; password_file=FILE or " +
                                            kEtcdPasswordVariable};
      }
    }
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
  EtcdConfig config_;
};

}  // namespace

Result<EtcdConfig> read_etcd(const RawOptions& options, const HostFacts& facts) {
  return EtcdReader(options, facts).read();
}

bool is_etcd_setting(const std::string& key) {
  return std::ranges::count(kEtcdSettings, key) > 0 || std::ranges::count(kTlsSettings, key) > 0 || key == "protocol";
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
