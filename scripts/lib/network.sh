# Hosts that are network namespaces of this machine, on a switch of their own that is one too: for scripts/hosts and
# scripts/slurm-cluster. Files and processes are shared. Source it, do not run it.
# shellcheck shell=bash

# require_namespaces WHAT: fails with a remedy where they cannot be made.
require_namespaces() {
  ((EUID == 0)) || fail "$1 needs root"
  command -v ip >/dev/null || fail "there is no program ip" "apt-get install iproute2"
}

# network_up SWITCH NETWORK HOSTS_FILE HOST...: the hosts get the addresses NETWORK.1, .2, ..., the switch NETWORK.254;
# all of them stand in HOSTS_FILE. The namespace of a host has its name, after network_prefix, if that is set.
network_up() {
  local between=$1 addresses=$2 names=$3 number=0 host namespace
  shift 3
  ip netns add "$between"
  ip -n "$between" link set lo up
  ip -n "$between" link add bridge0 type bridge
  ip -n "$between" addr add "$addresses.254/24" dev bridge0
  ip -n "$between" link set bridge0 up
  echo "127.0.0.1 localhost" >"$names"
  for host; do
    number=$((number + 1)) namespace=${network_prefix:-}$host
    ip netns add "$namespace"
    ip link add eth0 netns "$namespace" type veth peer name "$host" netns "$between"
    ip -n "$namespace" addr add "$addresses.$number/24" dev eth0
    ip -n "$namespace" link set lo up
    ip -n "$namespace" link set eth0 up
    ip -n "$between" link set "$host" master bridge0 up
    echo "$addresses.$number $host" >>"$names"
  done
}

# network_run NAMESPACE HOST HOSTS_FILE COMMAND...: there, under that name. The network namespace alone is entered, not
# `ip netns exec`: that mounts another /sys, without the control groups.
network_run() {
  local namespace=$1
  HOST=$2 HOSTS=$3 nsenter --net="/run/netns/$namespace" unshare -u -m --propagation private sh -c '
    hostname "$HOST" && mount --bind "$HOSTS" /etc/hosts && unset HOST HOSTS && exec "$@"' sh "${@:4}"
}

# network_down NAMESPACE...: ends what runs there too.
network_down() {
  local namespace
  for namespace; do
    [[ -e /run/netns/$namespace ]] || continue
    ip netns pids "$namespace" | xargs -r kill -KILL 2>/dev/null || true
    ip netns del "$namespace"
  done
}
