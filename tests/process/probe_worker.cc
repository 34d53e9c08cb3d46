// A worker that does as its arguments say; probe_actions.h lists the actions.
#include "tests/process/probe_actions.h"

int main(int argc, char** argv) { return ferrun::probe::perform({argv + 1, argv + argc}); }
