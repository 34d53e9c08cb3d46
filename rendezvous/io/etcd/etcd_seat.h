// A job's seat in etcd on the event loop: carries out what the seat machine asks for, and is the store of the state of
// a coordinator that has the seat.
//
// Ownership: owned by a driver, on the thread that runs `io`, as are all callbacks. None comes once it is gone.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "rendezvous/etcd/seat_machine.h"
#include "rendezvous/io/coordinator/state_store.h"
#include "rendezvous/io/etcd/etcd_client.h"
#include "rendezvous/io/net/boot_timer.h"

namespace ferrun::etcd {

class Seat {
 public:
  struct Callbacks {
    std::function<void()> won;
    std::function<void(const std::string& why)> lost;
    std::function<void(const SeatFound&)> found;
    std::function<void(const Trouble&)> trouble;
  };

  Seat(boost::asio::io_context& io, SeatConfig config, Client::Options servers, Callbacks callbacks);

  // Begins to look for the seat.
  void start();
  // Whether this agent may act as the coordinator, now.
  bool valid() const;
  // Of the seat that this agent has: what the coordinator before has left, judged for `owner`. Must not outlive the
  // seat.
  std::unique_ptr<StateStore> store(const StateOwner& owner);

  // As the seat machine says.
  void publish(SeatHolder self);
  void withdraw();
  void holder_is_gone(int64_t lease);
  void end(bool job_is_over, std::function<void()> ended);

 private:
  friend class SeatStore;
  void save(std::string text, StateStore::OnSaved on_saved);
  void later(std::function<void()> step);
  void go_on();
  void carry_out(const Ask& effect);
  void carry_out(const SeatWon& effect);
  void carry_out(const SeatLost& effect);
  void carry_out(const SeatFound& effect);
  void carry_out(const Saved& effect);
  void carry_out(const SeatEnded& effect);
  void carry_out(const Trouble& effect);

  boost::asio::io_context& io_;
  SeatConfig config_;
  Callbacks callbacks_;
  Client client_;
  BootTimer timer_;
  std::optional<SeatMachine> machine_;  // once started
  bool carrying_out_ = false;
  std::optional<std::string> left_state_;  // by the coordinator before
  uint64_t last_ticket_ = 0;
  std::map<uint64_t, StateStore::OnSaved> saves_;
  std::function<void()> ended_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace ferrun::etcd
