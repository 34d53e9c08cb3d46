# Shared by the scripts of this folder and scripts/release. Source it after scripts/lib/common.sh.
# shellcheck shell=bash

# All times in what is packed: the commit's, else that of the newest change.
export_source_date() {
  if [[ -n ${SOURCE_DATE_EPOCH:-} ]]; then return; fi
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
  export SOURCE_DATE_EPOCH
}

# project_version <CMakeLists.txt
project_version() { sed -n 's/^project(ferrun VERSION \([0-9.]*\).*/\1/p'; }

# need PROGRAM REMEDY: before anything is downloaded or built.
need() { command -v "$1" >/dev/null || fail "$1 is missing" "$2"; }

# What every build of these scripts needs.
need_build_tools() {
  need cmake "scripts/setup --no-torch installs it, and what else a build needs"
  need ninja "scripts/setup --no-torch installs it, and what else a build needs"
}
