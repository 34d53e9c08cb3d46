// A machine as a table: what the configuration is told of its files, devices and environment.
#pragma once

#include <map>
#include <set>
#include <string>

#include "launcher/config/host_facts.h"

namespace ferrun {

class FakeHost {
 public:
  FakeHost() {
    facts_.environment.set("PATH", "/usr/bin:/opt/bin");
    facts_.hostname = "node7";
    facts_.called_as = "ferrun";
    facts_.current_folder = "/home/user";
    facts_.ferrun_folder = "/opt/ferrun/bin";
    facts_.start_stamp = "20261123T183455";
    facts_.random = {1, 2, 0xABCDEF0123456789, 4};
    facts_.files.kind = [this](const std::filesystem::path& path) {
      const auto found = kinds_.find(path.string());
      return found == kinds_.end() ? FileQueries::Kind::kMissing : found->second;
    };
    facts_.files.executable = [this](const std::filesystem::path& path) {
      return executables_.contains(path.string());
    };
    facts_.files.has_fork_point = [this](const std::filesystem::path& path) {
      return fork_points_.contains(path.string());
    };
    facts_.files.beginning = [this](const std::filesystem::path& path) -> Result<std::string> {
      const auto found = contents_.find(path.string());
      if (found != contents_.end()) return found->second;
      const bool there = kinds_.contains(path.string());
      return Error{ErrorKind::kUser, there ? "Permission denied" : "No such file or directory"};
    };
    facts_.files.link_target = [this](const std::filesystem::path& path) -> std::optional<std::filesystem::path> {
      const auto found = links_.find(path.string());
      return found == links_.end() ? std::nullopt : std::optional(found->second);
    };
    facts_.files.writable_folder = [this](const std::filesystem::path& path) {
      return writable_folders_.contains(path.string());
    };
    facts_.files.secret = [this](const std::filesystem::path& path) -> Result<FileQueries::Secret> {
      const auto found = contents_.find(path.string());
      if (found == contents_.end()) return Error{ErrorKind::kUser, "No such file or directory"};
      return FileQueries::Secret{found->second, readable_by_all_.contains(path.string())};
    };
    facts_.usable_cores = [] { return 6; };
    facts_.nvidia_gpus = [this] { return gpus_; };
    facts_.amd_gpus = [this] { return amd_gpus_; };
    facts_.cpus = [this] { return cpus_; };
    facts_.node_memory = [this] { return node_memory_; };
    facts_.other_accelerators = [this] { return accelerators_; };
    facts_.token_wrapping.wrap = [this](const std::string& secret) -> Result<std::string> {
      if (!munge_) return Error{ErrorKind::kPlatform, "there is no munge"};
      return "MUNGE:" + secret;
    };
    facts_.token_wrapping.unwrap = [this](const std::string& wrapped) -> Result<std::string> {
      if (!munge_ || !wrapped.starts_with("MUNGE:")) return Error{ErrorKind::kPlatform, "Invalid credential"};
      return wrapped.substr(6);
    };
    program("/usr/bin/python3");
  }
  FakeHost(const FakeHost&) = delete;
  FakeHost& operator=(const FakeHost&) = delete;

  FakeHost& program(const std::string& path) {
    executables_.insert(path);
    return file(path);
  }
  FakeHost& program(const std::string& path, const std::string& content) {
    executables_.insert(path);
    return file(path, content);
  }
  FakeHost& file(const std::string& path) {
    kinds_[path] = FileQueries::Kind::kFile;
    return *this;
  }
  FakeHost& file(const std::string& path, const std::string& content) {
    contents_[path] = content;
    return file(path);
  }
  FakeHost& pipe(const std::string& path) {
    kinds_[path] = FileQueries::Kind::kOther;
    return *this;
  }
  FakeHost& unreachable(const std::string& path) {
    kinds_[path] = FileQueries::Kind::kUnreachable;
    return *this;
  }
  FakeHost& readable_by_all(const std::string& path) {
    readable_by_all_.insert(path);
    return *this;
  }
  FakeHost& directory(const std::string& path) {
    kinds_[path] = FileQueries::Kind::kDirectory;
    executables_.insert(path);  // as access(2) says of folders
    return *this;
  }
  FakeHost& fork_point(const std::string& path) {
    fork_points_.insert(path);
    return program(path);
  }
  FakeHost& gpus(const std::vector<std::string>& uuids) { return gpu_devices(named(uuids)); }
  FakeHost& gpu_devices(std::vector<GpuDevice> devices) {
    gpus_ = std::move(devices);
    return *this;
  }
  FakeHost& amd_gpus(const std::vector<std::string>& uuids) {
    amd_gpus_ = named(uuids);
    return *this;
  }
  FakeHost& node_memory(NodeMemory memory) {
    node_memory_ = std::move(memory);
    return *this;
  }
  FakeHost& cpus(CpuTopology cpus) {
    cpus_ = std::move(cpus);
    return *this;
  }
  // Devices of which nothing but these is known.
  static std::vector<GpuDevice> named(const std::vector<std::string>& uuids) {
    std::vector<GpuDevice> devices;
    for (const std::string& uuid : uuids) devices.emplace_back().uuid = uuid;
    return devices;
  }
  FakeHost& accelerators(std::vector<DeviceNodes> nodes) {
    accelerators_ = std::move(nodes);
    return *this;
  }
  FakeHost& link(const std::string& path, const std::string& target) {
    links_[path] = target;
    return *this;
  }
  FakeHost& hostname(const std::string& name) {
    facts_.hostname = name;
    return *this;
  }
  FakeHost& called_as(const std::string& name) {
    facts_.called_as = name;
    return *this;
  }
  FakeHost& writable_folders(std::set<std::string> folders) {
    writable_folders_ = std::move(folders);
    return *this;
  }
  FakeHost& variable(const std::string& name, const std::string& value) {
    facts_.environment.set(name, value);
    return *this;
  }
  FakeHost& munge(bool there = true) {
    munge_ = there;
    return *this;
  }
  FakeHost& open_files(uint64_t soft) {
    facts_.open_files = soft;
    return *this;
  }

  const HostFacts& facts() const { return facts_; }

 private:
  HostFacts facts_;
  std::map<std::string, FileQueries::Kind> kinds_;
  std::map<std::string, std::string> contents_;
  std::set<std::string> readable_by_all_;
  std::set<std::string> executables_;
  std::set<std::string> fork_points_;
  std::map<std::string, std::filesystem::path> links_;
  std::set<std::string> writable_folders_ = {"/tmp"};
  std::optional<std::vector<GpuDevice>> gpus_;
  std::optional<std::vector<GpuDevice>> amd_gpus_;
  CpuTopology cpus_ = {{0, 0, 0, 0, 0}};
  NodeMemory node_memory_ = {};
  std::vector<DeviceNodes> accelerators_;
  bool munge_ = false;
};

}  // namespace ferrun
