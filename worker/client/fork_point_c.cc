// Apart from the rest of the C functions: only a program that calls it is linked with fork_point and bears its mark.
#include "ferrun/client.h"
#include "ferrun/client_c.h"

extern "C" void ferrun_fork_point() { ferrun::client::fork_point(); }
