"""The completions in the shells that are here, at a terminal: python3 tests/install/completions_test.py FOLDER

FOLDER holds ferrun.bash, _ferrun and ferrun.fish as the build makes them. Keys are typed into an interactive shell; a
program named ferrun writes down the arguments that it then gets.
"""

import os
import pty
import select
import shutil
import sys
import tempfile
import time
import unittest
from pathlib import Path

FOLDER = Path(sys.argv.pop(1)).resolve()
HANG_GUARD = 120


class Terminal:
    """An interactive shell at a pseudo-terminal."""

    def __init__(self, command, folder):
        environment = {
            "PATH": f"{folder}/bin:/usr/bin:/bin", "HOME": str(folder), "TERM": "xterm", "LANG": "C.UTF-8",
            "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder), "ZDOTDIR": str(folder),
        }
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(folder)
            os.execve(command[0], command, environment)
        self.output = b""

    def type(self, keys):
        os.write(self._terminal, keys.encode())

    def wait_for(self, condition, what):
        deadline = time.monotonic() + HANG_GUARD
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"no {what}; on the screen: {self.output!r}")
            # The screen has to be read, or the shell would stand still; its words do not matter.
            if select.select([self._terminal], [], [], 0.05)[0]:
                try:
                    self.output += os.read(self._terminal, 65536)
                except OSError:
                    raise AssertionError(f"the shell has ended; on the screen: {self.output!r}") from None
            # A terminal that a shell asks for its name and cursor answers.
            if b"\x1b[6n" in self.output or b"\x1b[c" in self.output or b"\x1b[0c" in self.output:
                self.output = self.output.replace(b"\x1b[6n", b"").replace(b"\x1b[c", b"").replace(b"\x1b[0c", b"")
                self.type("\x1b[1;1R\x1b[?1;2c")

    def close(self):
        os.close(self._terminal)  # hangs up
        os.waitpid(self._pid, 0)


class Completions(unittest.TestCase):
    def complete(self, shell, arguments, setup, keys):
        program = shutil.which(shell)
        if program is None:
            self.skipTest(f"no {shell} here")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "bin").mkdir()
            (folder / "bin/ferrun").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > got.part && mv got.part got\n')
            (folder / "bin/ferrun").chmod(0o755)
            (folder / "recipe.json").touch()
            (folder / "results").mkdir()
            terminal = Terminal([program, *arguments], folder)
            try:
                terminal.type(f"{setup}; touch ready\r")
                terminal.wait_for((folder / "ready").exists, "prompt")
                terminal.type(f"ferrun {keys}\t\r")
                terminal.wait_for((folder / "got").exists, f"command line of ferrun {keys}")
                return (folder / "got").read_text().splitlines()
            finally:
                terminal.close()

    def check(self, shell, arguments, setup):
        for keys, expected in (
            ("--nproc-p", "--nproc-per-node"),
            ("--start-method=forks", "--start-method=forkserver"),
            ("--config=rec", "--config=recipe.json"),
            ("--log-dir=res", "--log-dir=results"),
        ):
            with self.subTest(shell=shell, keys=keys):
                # Some shells add the "=" or "/" that may follow.
                self.assertEqual(self.complete(shell, arguments, setup, keys)[0].rstrip("=/"), expected)

    def test_bash(self):
        self.check("bash", ["--norc", "--noprofile", "-i"], f". {FOLDER}/ferrun.bash")

    def test_zsh(self):
        self.check(
            "zsh", ["-f", "-i"], f"fpath=({FOLDER} $fpath); autoload -U compinit; compinit -u -D"
        )

    def test_fish(self):
        self.check("fish", ["--no-config", "-i"], f"source {FOLDER}/ferrun.fish")


if __name__ == "__main__":
    unittest.main()
