#include "launcher/io/probe/gpu_watch.h"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <optional>
#include <utility>

#include "common/duration_text.h"
#include "common/io/clock.h"
#include "launcher/config/device_count.h"
#include "launcher/io/probe/device_probe.h"
#include "launcher/io/probe/kernel_log.h"
#include "launcher/io/probe/nvml.h"
#include "launcher/workers/gpu_release.h"

namespace ferrun {

namespace asio = boost::asio;

// What the thread has. Work that hangs keeps it alive beyond the watch.
struct GpuWatch::Sight {
  Sight(const JobConfig& config, Options given)
      : options(std::move(given)),
        environment(config.inherited),
        instances(config.own_device.empty() ? MigInstances::kFirst : MigInstances::kAll),
        by_number(config.own_device.empty() || !config.own_device.front().starts_with("GPU-")) {}

  void load();
  void look();
  void collect_xids();
  std::vector<std::string> lines_of(int local_rank);
  std::vector<HeldMemory> held();

  const Options options;
  const Environment environment;
  const MigInstances instances;
  const bool by_number;  // workers choose their devices by number
  bool loaded = false;
  std::optional<KernelLog> log;
  std::unique_ptr<Nvml> nvml;
  std::vector<std::string> addresses;  // of the visible devices; empty where one's is not known
  std::map<std::string, GpuHealth> before;
  std::vector<Xid> xids;  // since the attempt began
};

void GpuWatch::Sight::load() {
  loaded = true;
  log.emplace(options.kernel_log);
  nvml = Nvml::load(options.library);
  const auto devices = nvidia_gpus(options.root);
  if (!nvml || !devices) return;
  const std::vector<GpuDevice> visible = visible_to_cuda(*devices, environment, instances);
  if (by_number && numbered_by_speed(visible, environment)) return;  // whose is which is not known
  for (const GpuDevice& device : visible) addresses.push_back(device.pci_address);
  std::vector<std::string> known = addresses;
  std::erase(known, "");
  if (!log->readable()) nvml->watch_xids(known);
}

void GpuWatch::Sight::look() {
  if (!loaded) load();
  if (!nvml) return;
  collect_xids();
  xids.clear();
  before.clear();
  for (const std::string& address : addresses) {
    if (!address.empty()) before[address] = nvml->health(address);
  }
}

// The kernel log has the driver's own words; without it there is the number.
void GpuWatch::Sight::collect_xids() {
  std::vector<Xid> fresh = nvml->take_xids();
  for (const std::string& line : log->news()) {
    if (std::optional<Xid> xid = parse_xid(line)) fresh.push_back(std::move(*xid));
  }
  std::ranges::move(fresh, std::back_inserter(xids));
}

std::vector<std::string> GpuWatch::Sight::lines_of(int local_rank) {
  const size_t rank = static_cast<size_t>(local_rank);
  if (!nvml || rank >= addresses.size() || addresses[rank].empty()) return {};
  const auto earlier = before.find(addresses[rank]);
  return gpu_lines(earlier == before.end() ? std::nullopt : std::optional(earlier->second),
                   nvml->health(addresses[rank]), xids);
}

std::vector<HeldMemory> GpuWatch::Sight::held() {
  std::vector<HeldMemory> all;
  if (!nvml) return all;
  for (const std::string& address : addresses) {
    if (address.empty()) continue;
    const std::vector<GpuHolder>& earlier = before[address].holders;
    for (GpuHolder& holder : nvml->holders(address)) {
      const bool since_then = std::ranges::find(earlier, holder.pid, &GpuHolder::pid) == earlier.end();
      all.push_back({address, holder.pid, std::move(holder.name), holder.bytes, since_then});
    }
  }
  return all;
}

// A wait for the memory of an attempt that is over.
struct GpuWatch::Release {
  asio::steady_timer timer;
  GpuRelease rule;
  std::function<void(const std::string&)> say;
  std::function<void()> done;
  bool asking = false;  // the driver has been asked and has not answered
};

std::unique_ptr<GpuWatch> GpuWatch::start(asio::io_context& io, const JobConfig& config) {
  return start(io, config, Options{});
}

std::unique_ptr<GpuWatch> GpuWatch::start(asio::io_context& io, const JobConfig& config, Options options) {
  if (access((options.root / "dev/nvidiactl").c_str(), F_OK) != 0) return nullptr;
  std::unique_ptr<GpuWatch> watch(new GpuWatch(io, config, std::move(options)));
  watch->restart();
  return watch;
}

GpuWatch::GpuWatch(asio::io_context& io, const JobConfig& config, Options options)
    : io_(io),
      patience_(options.patience),
      release_(options.release),
      sight_(std::make_shared<Sight>(config, std::move(options))),
      thread_(io) {}

void GpuWatch::restart() {
  looked_ = false;
  thread_.run([this, sight = sight_] {
    sight->look();
    return [this] { looked_ = true; };
  });
}

void GpuWatch::examine(const std::vector<int>& local_ranks, std::function<void(const Lines&)> done) {
  if (!looked_) return done(Lines(local_ranks.size()));
  const auto timer = std::make_shared<asio::steady_timer>(io_, patience_);
  const auto answer = std::make_shared<std::function<void(const Lines&)>>(std::move(done));  // empty once it was called
  timer->async_wait([timer, answer, ranks = local_ranks.size()](const boost::system::error_code& error) {
    if (error || !*answer) return;
    std::exchange(*answer, nullptr)(Lines(ranks, {"the NVIDIA driver does not answer"}));
  });
  thread_.run([sight = sight_, local_ranks, weak_timer = std::weak_ptr(timer), answer] {
    if (sight->nvml) sight->collect_xids();
    Lines lines;
    for (const int rank : local_ranks) lines.push_back(sight->lines_of(rank));
    return [lines = std::move(lines), weak_timer, answer] {
      if (const auto waiting = weak_timer.lock()) waiting->cancel();
      if (*answer) std::exchange(*answer, nullptr)(lines);
    };
  });
}

void GpuWatch::await_release(std::vector<int> dead, std::function<void(const std::string&)> say,
                             std::function<void()> done) {
  if (!looked_) return done();
  look_for_holders(std::make_shared<Release>(
      Release{asio::steady_timer(io_), {dead, release_, monotonic_now()}, std::move(say), std::move(done)}));
}

void GpuWatch::look_for_holders(const std::shared_ptr<Release>& release) {
  release->asking = true;
  release->timer.expires_after(patience_);
  release->timer.async_wait([this, release](const boost::system::error_code& error) {
    if (error || !std::exchange(release->asking, false)) return;
    release->say("the NVIDIA driver has not told within " + exact_text(patience_) +
                 " whether the GPU memory of the attempt before is free: starting the next one all the same");
    release->done();
  });
  // A driver that hangs must not keep the timer beyond the loop.
  thread_.run([this, sight = sight_, waiting = std::weak_ptr(release)] {
    return [this, waiting, held = sight->held()] {
      const std::shared_ptr<Release> still = waiting.lock();
      if (!still || !std::exchange(still->asking, false)) return;  // not waited for any more
      still->timer.cancel();
      const GpuRelease::Verdict verdict = still->rule.judge(held, monotonic_now());
      if (!verdict.line.empty()) still->say(verdict.line);
      if (verdict.go) return still->done();
      still->timer.expires_after(GpuRelease::kLookAgain);
      still->timer.async_wait([this, still](const boost::system::error_code& failed) {
        if (!failed) look_for_holders(still);
      });
    };
  });
}

}  // namespace ferrun
