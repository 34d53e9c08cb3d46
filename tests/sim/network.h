// The network of the simulated world: connections that deliver in order, late, or not at all. What a packet loss does
// to TCP is a delay; a cut keeps what is sent until it heals or TCP gives up; an end that vanished answers nothing, and
// once its host is up again, with a reset. It moves values and knows nothing of what they mean.
//
// Owned by the World, which asks it to carry an event on once the receiving process is ready to read.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "rendezvous/wire/messages.h"
#include "tests/sim/event_queue.h"
#include "tests/sim/random.h"

namespace ferrun::sim {

using HostIndex = uint32_t;
using ConnectionIndex = uint32_t;
inline constexpr uint32_t kNone = ~uint32_t{0};

enum class Side : uint8_t { kClient, kServer };
inline Side other(Side side) { return side == Side::kClient ? Side::kServer : Side::kClient; }

// One message for many receivers is held once.
using Told = std::shared_ptr<const CoordinatorMessage>;

struct Parcel {
  enum class Kind : uint8_t { kSyn, kAccepted, kRefused, kProof, kSaid, kTold, kEnd };
  Kind kind = Kind::kSyn;
  TrueTime sent{};
  std::variant<std::monostate, MemberMessage, Told> load;
};

enum class Traffic { kAgents, kWorkers };

struct Cut {
  uint32_t id = 0;
  std::vector<bool> inside;  // by host
  bool outwards = true;      // what leaves the inside is lost
  bool inwards = true;
  bool agents = true;
  bool workers = true;
};

class Network {
 public:
  struct Config {
    std::vector<Duration> distance;  // of each host from the middle of the network
    int loss_per_mille = 0;
  };

  Network(Config config, EventQueue& queue, Random& random);

  // Asks the server's host for a connection. Its answer arrives as kAccepted or kRefused, or never.
  ConnectionIndex open(TrueTime now, uint32_t agent, HostIndex client, HostIndex server);
  void send(TrueTime now, ConnectionIndex connection, Side from, Parcel parcel);
  // Closes after all that was sent has arrived. The other side reads an end of stream.
  void close(TrueTime now, ConnectionIndex connection, Side side);
  // Closes without a goodbye: the other side learns of a reset, when that gets through.
  void abort(TrueTime now, ConnectionIndex connection, Side side);
  // The end's host has lost its power: no word to anybody.
  void vanish(ConnectionIndex connection, Side side);
  // The process has died and somebody else keeps its socket open: what arrives is read and dropped.
  void orphan(ConnectionIndex connection, Side side);
  // Something on the way resets the connection: both sides learn of it, or only `only`.
  void reset(TrueTime now, ConnectionIndex connection, std::optional<Side> only);
  // Nothing passes any more, and nobody is told.
  void blackhole(ConnectionIndex connection);

  void cut(Cut cut) { cuts_.push_back(std::move(cut)); }
  void heal(TrueTime now, uint32_t cut);
  // All cuts, losses and slowness end; what hangs is reset.
  void heal_all(TrueTime now);
  bool passes(HostIndex from, HostIndex to, Traffic traffic) const;
  Duration latency(HostIndex from, HostIndex to);
  void slow_down(HostIndex host, Duration distance) { distance_[host] = distance; }

  // --- Carrying events on. ---

  // Whether the parcel of the event has reached the other host; if not it waits, and the event is void.
  bool lands(TrueTime now, Event& event);
  // What the receiving process reads: nothing when the connection is gone meanwhile, or the event is void.
  std::optional<Parcel> take(TrueTime now, const Event& event);
  // Whether a reset, or TCP's giving up, is news for the side that the event names: then its end is closed.
  bool breaks(const Event& event);
  // Those who vanished answer again, with resets.
  void host_is_up(TrueTime now, HostIndex host);
  void host_is_down(HostIndex host) { up_[host] = false; }

  static Side receiver(const Event& event) { return static_cast<Side>(event.tag & 1); }
  uint32_t agent(ConnectionIndex connection) const { return connections_[connection].agent; }
  uint32_t coordinator(ConnectionIndex connection) const { return connections_[connection].coordinator; }
  void accept(ConnectionIndex connection, uint32_t by) { connections_[connection].coordinator = by; }
  HostIndex host(ConnectionIndex connection, Side side) const;
  bool open(ConnectionIndex connection, Side side) const { return end(connection, side) == End::kOpen; }
  size_t connections() const { return connections_.size(); }

 private:
  enum class End : uint8_t { kOpen, kClosed, kBroken, kOrphaned, kVanished };

  // One direction. The first `landed` parcels have reached the host and wait for its process to read.
  struct Wire {
    std::vector<Parcel> parcels;
    size_t head = 0;
    size_t landed = 0;
    TrueTime last{};
    uint32_t epoch = 0;  // events of an older one are void
    bool stuck = false;
    bool gives_up = false;
    size_t waiting() const { return parcels.size() - head; }
  };
  struct Connection {
    uint32_t agent = kNone;
    uint32_t coordinator = kNone;
    std::array<HostIndex, 2> host{};
    std::array<End, 2> end{};
    std::array<Wire, 2> wire;  // by the receiving side
    bool black = false;
  };

  End end(ConnectionIndex connection, Side side) const { return connections_[connection].end[index(side)]; }
  static size_t index(Side side) { return static_cast<size_t>(side); }
  static void empty(Wire& wire);
  void schedule(TrueTime now, ConnectionIndex connection, Side to, Duration latency);
  void hold(TrueTime now, ConnectionIndex connection, Side to);
  void unstick(TrueTime now);

  std::vector<Duration> distance_;
  std::vector<Duration> usual_distance_;
  std::vector<bool> up_;
  int loss_per_mille_;
  EventQueue& queue_;
  Random& random_;
  std::vector<Cut> cuts_;
  std::vector<Connection> connections_;
};

}  // namespace ferrun::sim
