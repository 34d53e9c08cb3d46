"""The table on the terminal and the JSON in its file."""

import dataclasses
import json
import textwrap

SHOWN = {"passed": "passed", "failed": "FAILED", "impossible": "not possible here"}


def head(machine):
    facts = machine.facts
    where = machine.device
    if machine.on_gpu and facts["gpu"]:
        where = f"{facts['gpu']}, driver {facts['driver'] or 'unknown'}"
    print(f"gpu-check on {where}; {facts['cores']} cores, torch {facts['torch']}, {facts['date']}", flush=True)


def line(result):
    said = f"{result.name:17}{SHOWN[result.verdict]:19}{result.seconds:6.1f} s  "
    print(textwrap.fill(said + result.words, 120, subsequent_indent=" " * len(said)), flush=True)
    for row in result.figures.get("table", []):
        print("    " + row, flush=True)


def end(machine, results, path):
    counts = {verdict: sum(result.verdict == verdict for result in results) for verdict in SHOWN}
    checks = [dataclasses.asdict(result) for result in results]
    path.write_text(json.dumps({"machine": machine.facts, "counts": counts, "checks": checks}, indent=2) + "\n")
    passed, failed, impossible = counts.values()
    print(f"{passed} passed, {failed} failed, {impossible} not possible here; JSON in {path}")
    return 1 if counts["failed"] else 0
