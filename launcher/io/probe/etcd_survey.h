// Gathers for `ferrun doctor` what etcd's servers say, of themselves and of the job.
#pragma once

#include <boost/asio/io_context.hpp>

#include "launcher/config/rendezvous_config.h"
#include "launcher/doctor/etcd_judgement.h"

namespace ferrun {

// Runs `io`, for some seconds where nobody answers. Writes nothing to etcd.
EtcdFacts survey_etcd(boost::asio::io_context& io, const RendezvousConfig& config);

}  // namespace ferrun
