// The two launchers that a row is played through.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ferrun::differential {

struct Launch {
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;
  std::filesystem::path folder;
  std::filesystem::path out;
  std::filesystem::path err;
  std::filesystem::path notes;  // a name for files of the launcher's own
};

// One launch under way. Must not outlive its launcher.
class Launched {
 public:
  virtual ~Launched() = default;
  virtual pid_t pid() = 0;
  // The wait status, when it has ended.
  virtual std::optional<int> ended() = 0;
};

class Launcher {
 public:
  virtual ~Launcher() = default;
  virtual std::unique_ptr<Launched> start(const Launch& launch) = 0;
};

std::unique_ptr<Launcher> make_ferrun(const std::string& program);

// torchrun of the torch that `python` has, imported once for all launches.
std::unique_ptr<Launcher> make_torchrun(const std::string& python);

}  // namespace ferrun::differential
