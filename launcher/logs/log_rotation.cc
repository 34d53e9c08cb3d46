#include "launcher/logs/log_rotation.h"

namespace ferrun {

size_t bytes_before_rotation(const LogRotation& rotation, std::string_view bytes, size_t size, bool mid_line) {
  if (!rotation.on()) return bytes.size();
  const size_t room = size < rotation.max_bytes ? rotation.max_bytes - size : 0;
  if (bytes.size() <= room) return bytes.size();
  const size_t last = bytes.substr(0, room).rfind('\n');
  if (last != std::string_view::npos) return last + 1;
  if (size > 0 && !mid_line) return 0;
  const size_t end = bytes.find('\n');
  return end == std::string_view::npos ? bytes.size() : end + 1;
}

}  // namespace ferrun
