// A coordinator's state in a file: the claim to it, the writing, and a sign of life where the file is this machine's
// own affair. See state_store.h for ownership and threads.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <string>

#include "rendezvous/io/coordinator/state_claim.h"
#include "rendezvous/io/coordinator/state_file.h"
#include "rendezvous/io/coordinator/state_store.h"

namespace ferrun {

class FileStore final : public StateStore {
 public:
  // Blocks: for the start.
  FileStore(boost::asio::io_context& io, const StateOwner& owner);

  StateVerdict take_verdict() override { return claim_.take_verdict(); }
  bool keeps() const override { return claim_.held(); }
  void save(std::string text, OnSaved on_saved) override { file_.save(std::move(text), std::move(on_saved)); }
  // A file is removed either way: without its coordinator's machine nobody goes on with it.
  void end(bool job_is_over, std::function<void()> ended) override;

 private:
  void keep_fresh();

  const std::string path_;
  StateClaim claim_;
  StateFile file_;
  boost::asio::steady_timer freshness_;
};

}  // namespace ferrun
