// Which fields every message has on the wire, in which order and within which limits: told once, for writing and for
// reading. Private to message_codec.cc.
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>

#include "rendezvous/job/limits.h"
#include "rendezvous/wire/message_codec.h"
#include "rendezvous/wire/messages.h"

namespace ferrun::wire {

// The kind byte and the name of each message. Numbers below 16 belong to the handshake. A number is never given to
// another message while kProtocolVersion stays.
template <typename Message>
struct Kind;

// clang-format off
template <> struct Kind<Join>             { static constexpr uint8_t number = 16; static constexpr auto name = "Join"; };
template <> struct Kind<Heartbeat>        { static constexpr uint8_t number = 17; static constexpr auto name = "Heartbeat"; };
template <> struct Kind<Prepared>         { static constexpr uint8_t number = 18; static constexpr auto name = "Prepared"; };
template <> struct Kind<NotPrepared>      { static constexpr uint8_t number = 19; static constexpr auto name = "NotPrepared"; };
template <> struct Kind<StoreReached>     { static constexpr uint8_t number = 20; static constexpr auto name = "StoreReached"; };
template <> struct Kind<WorkerSucceeded>  { static constexpr uint8_t number = 21; static constexpr auto name = "WorkerSucceeded"; };
template <> struct Kind<NodeFinished>     { static constexpr uint8_t number = 22; static constexpr auto name = "NodeFinished"; };
template <> struct Kind<NodeFailed>       { static constexpr uint8_t number = 23; static constexpr auto name = "NodeFailed"; };
template <> struct Kind<StopAcknowledged> { static constexpr uint8_t number = 24; static constexpr auto name = "StopAcknowledged"; };
template <> struct Kind<NodeReaped>       { static constexpr uint8_t number = 25; static constexpr auto name = "NodeReaped"; };
template <> struct Kind<Goodbye>          { static constexpr uint8_t number = 26; static constexpr auto name = "Goodbye"; };
template <> struct Kind<Closed>           { static constexpr uint8_t number = 27; static constexpr auto name = "Closed"; };
template <> struct Kind<StatusRequest>    { static constexpr uint8_t number = 28; static constexpr auto name = "StatusRequest"; };

template <> struct Kind<Welcome>          { static constexpr uint8_t number = 64; static constexpr auto name = "Welcome"; };
template <> struct Kind<Refused>          { static constexpr uint8_t number = 65; static constexpr auto name = "Refused"; };
template <> struct Kind<HeartbeatAnswer>  { static constexpr uint8_t number = 66; static constexpr auto name = "HeartbeatAnswer"; };
template <> struct Kind<Waiting>          { static constexpr uint8_t number = 67; static constexpr auto name = "Waiting"; };
template <> struct Kind<Prepare>          { static constexpr uint8_t number = 68; static constexpr auto name = "Prepare"; };
template <> struct Kind<DialStore>        { static constexpr uint8_t number = 69; static constexpr auto name = "DialStore"; };
template <> struct Kind<Go>               { static constexpr uint8_t number = 70; static constexpr auto name = "Go"; };
template <> struct Kind<Stop>             { static constexpr uint8_t number = 71; static constexpr auto name = "Stop"; };
template <> struct Kind<Close>            { static constexpr uint8_t number = 72; static constexpr auto name = "Close"; };
template <> struct Kind<StatusReply>      { static constexpr uint8_t number = 73; static constexpr auto name = "StatusReply"; };
// clang-format on

// `Value` is T to be read or const T to be written.
template <typename Value, typename T>
concept Of = std::same_as<std::remove_const_t<Value>, T>;

void fields(auto& io, Of<RoundId> auto& value) {
  io.integer(value.incarnation, "incarnation");
  io.integer(value.number, "round");
}

void fields(auto& io, Of<Assignment> auto& value) {
  fields(io, value.round);
  io.count(value.node_count, 1, "nodes");
  io.count(value.node_rank, 0, "node rank");
  io.count(value.world, 1, "world");
  io.count(value.first_rank, 0, "first rank");
  io.count(value.role_world, 1, "role world");
  io.count(value.first_role_rank, 0, "first role rank");
  io.count(value.restart_count, 0, "restarts");
  io.check(
      value.node_rank < value.node_count && value.first_rank < value.world && value.first_role_rank < value.role_world,
      "has a rank outside its world");
}

void fields(auto& io, Of<Term> auto& value) {
  io.text(value.name, kMaxNameBytes, "term");
  io.text(value.value, kMaxTermBytes, "term");
}

void fields(auto& io, Of<MemberPast> auto& value) {
  fields(io, value.round);
  io.word(value.work, Work::kFinished, "work");
  fields(io, value.assignment);
  io.count(value.restarts, 0, "restarts");
  io.text(value.launch_id, kMaxNameBytes, "launch id");
  io.flag(value.any_success, "any success");
}

void fields(auto& io, Of<LocalFailure> auto& value) {
  io.count(value.local_rank, 0, "local rank");
  io.count(value.rank, 0, "rank");
  io.word(value.kind, FailureKind::kLostPeer, "failure kind");
  io.exit_status(value.status);
  io.duration(value.age, "age");
  io.failure_report(value.report);
}

void fields(auto& io, Of<JobEnd> auto& value) {
  io.word(value.kind, JobEnd::Kind::kRefused, "kind of end");
  io.count(value.exit_status, 0, "exit status", 255);
  io.end_report(value.report);
}

void fields(auto& io, Of<Join> auto& value) {
  io.text(value.host, kMaxNameBytes, "host");
  io.texts(value.addresses, kMaxAddresses, kMaxAddressBytes, "address");
  io.count(value.workers, 1, "workers", kMostWorkersOfNode);
  io.text(value.role, kMaxNameBytes, "role");
  io.optional_count(value.node_rank, "node rank");
  io.list(value.terms, 0, kMaxTerms, "term");
  fields(io, value.past);
}

void fields(auto& io, Of<Heartbeat> auto& value) { io.integer(value.number, "number"); }

void fields(auto& io, Of<Prepared> auto& value) {
  fields(io, value.round);
  io.texts(value.store_addresses, kMaxAddresses, kMaxAddressBytes, "address");
  io.integer(value.store_port, "port");
}

void fields(auto& io, Of<NotPrepared> auto& value) {
  fields(io, value.round);
  io.text(value.reason, kMaxSentenceBytes, "reason");
}

void fields(auto& io, Of<StoreReached> auto& value) {
  fields(io, value.round);
  io.text(value.address, kMaxAddressBytes, "address");
}

void fields(auto& io, Of<WorkerSucceeded> auto& value) { fields(io, value.round); }

void fields(auto& io, Of<NodeFinished> auto& value) { fields(io, value.round); }

void fields(auto& io, Of<NodeFailed> auto& value) {
  fields(io, value.round);
  io.list(value.failures, 1, kMaxFailures, "failure");
}

void fields(auto& io, Of<StopAcknowledged> auto& value) {
  fields(io, value.round);
  io.list(value.failures, 0, kMaxFailures, "failure");
}

void fields(auto& io, Of<NodeReaped> auto& value) { fields(io, value.round); }

void fields(auto& io, Of<Goodbye> auto& value) {
  io.count(value.signal, 0, "signal", 127);
  io.text(value.reason, kMaxSentenceBytes, "reason");
}

void fields(auto&, Of<Closed> auto&) {}

void fields(auto& io, Of<StatusRequest> auto& value) { io.integer(value.id, "id"); }

void fields(auto& io, Of<Welcome> auto& value) {
  io.integer(value.incarnation, "incarnation");
  io.flag(value.own_process, "own process");
  io.duration(value.lease, "lease");
  io.duration(value.heartbeat_interval, "heartbeat interval");
  io.text(value.launch_id, kMaxNameBytes, "launch id");
  io.flag(value.resumed, "resumed");
}

void fields(auto& io, Of<Refused> auto& value) {
  io.text(value.reason, kMaxSentenceBytes, "reason");
  io.flag(value.try_again, "try again");
  io.duration(value.after, "after");
}

void fields(auto& io, Of<HeartbeatAnswer> auto& value) { io.integer(value.number, "number"); }

void fields(auto& io, Of<Waiting> auto& value) {
  io.text(value.sentence, kMaxSentenceBytes, "sentence");
  io.flag(value.round_runs, "round runs");
}

void fields(auto& io, Of<Prepare> auto& value) {
  fields(io, value.assignment);
  io.flag(value.open_store, "open store");
  io.texts(value.admitted, kMaxAdmitted, kMaxAddressBytes, "address");
}

void fields(auto& io, Of<DialStore> auto& value) {
  fields(io, value.round);
  io.texts(value.addresses, kMaxAddresses, kMaxAddressBytes, "address");
  io.integer(value.port, "port");
}

void fields(auto& io, Of<Go> auto& value) {
  fields(io, value.round);
  io.text(value.reason, kMaxSentenceBytes, "reason");
}

void fields(auto& io, Of<Stop> auto& value) {
  fields(io, value.round);
  io.word(value.kind, StopKind::kLostPeer, "kind of stop");
  io.text(value.reason, kMaxSentenceBytes, "reason");
}

void fields(auto& io, Of<Close> auto& value) { fields(io, value.end); }

void fields(auto& io, Of<StatusReply> auto& value) {
  io.integer(value.id, "id");
  io.text(value.json, kMaxStatusBytes, "status");
}

}  // namespace ferrun::wire
