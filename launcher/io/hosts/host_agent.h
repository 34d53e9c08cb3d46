// `ferrun host-agent`: what ssh starts on a host of `ferrun --hosts`. Takes its order from standard input
// (host_order.h), answers, runs ferrun with it as a child, and passes on the signals that are named there. When the
// input ends, whatever the reason (the ferrun that the user started is gone, the network, ssh), the child is asked to
// stop, and has its usual grace. Should this process be killed, the kernel sends the child SIGTERM.
#pragma once

namespace ferrun {

// The status to end with: the child's, but 254 for its 255, which is ssh's word for a failure of its own; exit status
// of the error where no order came.
int run_host_agent();

}  // namespace ferrun
