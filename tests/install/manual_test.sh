#!/usr/bin/env bash
# tests/install/manual_test.sh PAGE...: man renders each page without a warning, and so does mandoc, which is man on other
# systems and makes the site's pages.
set -euo pipefail
command -v man >/dev/null && command -v groff >/dev/null || { echo 'skipped: no man and groff here'; exit 77; }
failed=0
for page in "$@"; do
  warnings=$(LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings --local-file -Tutf8 "$page" 2>&1 >/dev/null)
  if command -v mandoc >/dev/null; then warnings+=$(mandoc -T lint -W warning "$page" 2>&1 || true); fi
  if [[ -n $warnings ]]; then
    printf '%s:\n%s\n' "$page" "$warnings"
    failed=1
  fi
done
exit "$failed"
