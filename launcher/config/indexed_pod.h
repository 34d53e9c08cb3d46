// What follows from being a pod of an Indexed Job of Kubernetes, or of a JobSet's: `ferrun --nnodes=2 train.py` needs
// to be told neither its rank nor where the nodes meet. Pure.
//
// The pod's completion index is the node's rank, and the nodes meet at the pod with index 0, whose name is this one's
// with the index exchanged. That others can look it up is the headless service's doing, whose name (the template's
// `subdomain`) the kubelet has written into /etc/hosts with the pod's.
#pragma once

#include "launcher/config/host_facts.h"
#include "launcher/config/place_defaults.h"

namespace ferrun {

// Adds nothing outside of such a pod, in a job of one node, and where an option says by hand where the nodes meet or
// which rank this one has. A pod whose name nobody can look up is warned of.
PlaceDefaults with_indexed_pod(PlaceDefaults given, const HostFacts& facts);

}  // namespace ferrun
