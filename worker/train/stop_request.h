// A request from outside to end the run in order: SIGTERM, SIGINT or SIGHUP. The handler only notes it; the ranks agree
// on the moment at which they save and leave. Usable without the trainer.
#pragma once

namespace ferrun::train {

// From here on the signals are noted instead of killing the process; one that the process was started with as ignored
// stays so (nohup). A second SIGINT kills (a person's second Ctrl-C); a second SIGTERM does not, because a launcher
// sends it while the checkpoint is written.
void note_stop_signals();

// The first signal that was noted; 0 when there was none.
int noted_stop_signal();

}  // namespace ferrun::train
