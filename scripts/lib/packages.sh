# The distribution's packages that the build needs. Source it after common.sh.
# shellcheck shell=bash

# Debian 12 names its newest Boost by version beside the older default; later releases have one new enough.
boost_packages() {
  local codename=''
  if [[ -r /etc/os-release ]]; then codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}"); fi
  if [[ $codename == bookworm ]]; then
    printf '%s\n' libboost1.81-dev
  else
    printf '%s\n' libboost-dev
  fi
}

build_packages() {
  printf '%s\n' g++ cmake ninja-build ccache git ca-certificates python3 python3-venv
  boost_packages
  printf '%s\n' libcli11-dev nlohmann-json3-dev libspdlog-dev libsodium-dev libjpeg-dev libpng-dev libutf8proc-dev
  printf '%s\n' pkg-config libpango1.0-dev fonts-dejavu-core  # plots
  printf '%s\n' libgtest-dev libgmock-dev iproute2 nftables  # the last two make the hosts of tests/net
}

# What the launcher is compiled from, by packaging/wheel for any processor: with boost_packages. CMake looks for spdlog's
# and fmt's shared libraries too, which are not linked.
launcher_library_packages() {
  printf '%s\n' libcli11-dev nlohmann-json3-dev libspdlog-dev libspdlog1.10 libfmt-dev libfmt9 libsodium-dev
}

dev_tool_packages() {
  printf '%s\n' clang-14 libclang-rt-14-dev clang-format-14 clang-tidy-14 zsh fish man-db groff-base mandoc patchelf
}

# What the packages are made and tried with, by packaging/ and tests/install.
packaging_packages() { printf '%s\n' dpkg-dev lintian mmdebstrap unzip qemu-user-static; }

engine_packages() { printf '%s\n' slurmctld slurmd slurm-client munge etcd-server etcd-client openssh-server openssh-client; }

# missing_packages NAME...: those that are not installed, one a line.
missing_packages() {
  local name
  for name in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || printf '%s\n' "$name"
  done
}

# install_packages NAME...: installs what is missing as root; tells an ordinary user the one command to run.
install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "this is not a Debian system: install these (or their like) yourself:" "$@"
    return
  fi
  local -a missing
  mapfile -t missing < <(missing_packages "$@")
  if ((${#missing[@]} == 0)); then
    say "packages: all $# are there"
    return
  fi
  if ((EUID != 0)); then
    fail "these packages are missing: ${missing[*]}" "run this, then scripts/setup again:" \
      "sudo apt-get install -y --no-install-recommends ${missing[*]}"
  fi
  say "packages to install: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q || say "apt-get update reported a failure; trying with the package lists at hand"
  apt-get install -y -q --no-install-recommends "${missing[@]}" ||
    fail "apt-get could not install the packages above" "is the network reachable, and is there room on the disk?"
}
