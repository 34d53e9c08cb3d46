# Addresses, the election of the coordinator's host, and what is told of attempts to reach it.
target_sources(ferrun_rendezvous PRIVATE dial_journal.cc host_election.cc ip_address.cc)
