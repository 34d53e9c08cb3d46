#include "ferrun/client_c.h"

#include <exception>
#include <optional>
#include <string>

#include "ferrun/client.h"

// No exception may leave a C function; the only one that is expected is a contradictory environment.
namespace {

int field(int ferrun::client::Context::*member) noexcept try {
  return ferrun::client::context_from_environment().*member;
} catch (const std::exception&) {
  return -1;
}

using ferrun::client::Cause;
using ferrun::client::Context;

// `kept` holds what is given out.
const char* text(std::string& kept, std::string Context::*member) noexcept try {
  kept = ferrun::client::context_from_environment().*member;
  return kept.c_str();
} catch (const std::exception&) {
  return "";  // ferrun_environment_error says why
}

int report(const char* message, Cause cause) noexcept {
  return ferrun::client::report_error(message != nullptr ? message : "", cause) ? 1 : 0;
}

}  // namespace

extern "C" {

int ferrun_rank() { return field(&ferrun::client::Context::rank); }
int ferrun_local_rank() { return field(&ferrun::client::Context::local_rank); }
int ferrun_world_size() { return field(&ferrun::client::Context::world_size); }
int ferrun_local_world_size() { return field(&ferrun::client::Context::local_world_size); }
int ferrun_group_rank() { return field(&ferrun::client::Context::group_rank); }
int ferrun_restart_count() { return field(&ferrun::client::Context::restart_count); }
int ferrun_max_restarts() { return field(&ferrun::client::Context::max_restarts); }

const char* ferrun_environment_error() {
  thread_local std::string reason;
  reason.clear();
  try {
    ferrun::client::context_from_environment();
  } catch (const std::exception& error) {
    reason = error.what();
  }
  return reason.c_str();
}

const char* ferrun_launch_id() {
  thread_local std::string id;
  return text(id, &Context::launch_id);
}

const char* ferrun_launch_dir() {
  thread_local std::string folder;
  return text(folder, &Context::launch_dir);
}

int ferrun_report_error(const char* message) { return report(message, Cause::kUnsaid); }
int ferrun_report_own_error(const char* message) { return report(message, Cause::kOwn); }
int ferrun_report_lost_peer(const char* message) { return report(message, Cause::kLostPeer); }
int ferrun_report_crashes() { return ferrun::client::report_crashes() ? 1 : 0; }

}  // extern "C"
