// Links the client library without a fork point: it must not look like a template.
#include "ferrun/client.h"

int main() { return ferrun::client::context_from_environment().rank; }
