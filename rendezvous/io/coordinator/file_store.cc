#include "rendezvous/io/coordinator/file_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>

namespace ferrun {
namespace {

// A file that is kept fresh is touched this often.
constexpr std::chrono::seconds kFreshness{1};

}  // namespace

FileStore::FileStore(boost::asio::io_context& io, const StateOwner& owner)
    : path_(owner.path), claim_(StateClaim::take(owner)), file_(io, owner.path), freshness_(io) {
  if (owner.is_private && claim_.held()) keep_fresh();
}

void FileStore::end(bool, std::function<void()> ended) {
  freshness_.cancel();
  claim_.remove();
  ended();
}

void FileStore::keep_fresh() {
  freshness_.expires_after(kFreshness);
  freshness_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    utimensat(AT_FDCWD, path_.c_str(), nullptr, 0);
    keep_fresh();
  });
}

}  // namespace ferrun
