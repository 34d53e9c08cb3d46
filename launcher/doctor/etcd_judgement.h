// What the facts that `ferrun doctor` gathers about etcd mean for a job that meets in it. Pure; the facts are read by
// launcher/io/probe/etcd_survey.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/endpoint.h"
#include "common/time.h"
#include "launcher/doctor/finding.h"
#include "rendezvous/etcd/etcd_codec.h"
#include "rendezvous/etcd/seat_machine.h"
#include "rendezvous/etcd/tls_files.h"

namespace ferrun {

// One server, asked alone.
struct EtcdServerFacts {
  Endpoint endpoint;
  std::optional<etcd::Failure> failure;
  etcd::Reply status;  // otherwise
  Duration took{};     // the second of two requests: the connection is there then
};

struct EtcdFacts {
  std::vector<EtcdServerFacts> servers;
  std::string user;                   // empty: none
  bool loopback = false;              // the servers
  std::optional<etcd::TlsFiles> tls;  // none: without
  std::string job_id;
  std::string prefix;  // of the job's keys
  // A read that a majority has to confirm, and a write of the job's keys whose condition never holds. None while no
  // server answers.
  std::optional<etcd::Outcome> read;
  Duration read_took{};
  std::optional<etcd::Outcome> write;
  std::optional<etcd::Outcome> alarms;
  // What is there of the job.
  bool seat = false;                       // somebody coordinates it
  std::optional<etcd::SeatHolder> holder;  // and can be reached there
  int64_t seat_seconds = 0;                // of the holder's lease
  bool state = false;                      // a coordinator has left it
  int64_t state_seconds = 0;               // for so long it stays
};

// One line for each fact, in an order in which one would look at them.
std::vector<Finding> judge_etcd(const EtcdFacts& facts);

}  // namespace ferrun
