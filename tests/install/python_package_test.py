"""The Python package against the native program that PATH has: python3 tests/install/python_package_test.py"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "python"
if "FERRUN_TEST_INSTALLED" not in os.environ:
    sys.path.insert(0, str(SOURCES))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(SOURCES), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
if __name__ == "__main__":  # workers import this script too
    for _name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_ERROR_FILE", "PYTHON_EXEC"):
        os.environ.pop(_name, None)

from ferrun import client, run  # noqa: E402

HANG_GUARD = 120


def rank_and(value):
    return client.context().rank, value


def fail_on_rank_1():
    if client.context().rank == 1:
        raise ValueError("bad label 7")


class Script(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.addCleanup(self._folder.cleanup)

    def script(self, text, name="script.py"):
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return str(path)

    def python(self, *arguments, **options):
        return subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, timeout=HANG_GUARD, cwd=self.folder, **options
        )


class Module(Script):
    def test_becomes_the_program_and_hands_its_status_on(self):
        script = self.script("import os, sys; sys.exit(5 if os.environ['RANK'] == '1' else 0)")
        done = self.python("-m", "ferrun", "--nproc-per-node=2", script)
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("Root cause: rank 1", done.stderr)

    def test_runs_scripts_with_its_own_python(self):
        script = self.script("import sys; print(sys.executable)")
        done = self.python("-m", "ferrun", script)
        self.assertEqual(done.stdout.strip(), sys.executable, done.stderr)

    def test_imports_nothing_that_nobody_asked_for(self):
        done = self.python("-c", "import sys; before = set(sys.modules); import ferrun; print(set(sys.modules) - before)")
        self.assertEqual(done.stdout.strip(), "{'ferrun'}", done.stderr)


class Main(Script):
    def test_returns_when_all_workers_ended_well(self):
        script = self.script(f"import os; open(os.path.join({str(self.folder)!r}, 'rank' + os.environ['RANK']), 'w')")
        run.main(["--nproc-per-node=2", script])
        self.assertEqual(sorted(file.name for file in self.folder.glob("rank*")), ["rank0", "rank1"])

    def test_raises_the_root_cause_with_its_traceback(self):
        script = self.script(
            """
            from ferrun.client import record
            @record
            def train():
                raise ValueError("bad label 7")
            train()
            """
        )
        with self.assertRaises(run.LaunchFailed) as failed:
            run.main([script])
        self.assertEqual(failed.exception.exit_status, 1)
        self.assertEqual(failed.exception.message, "ValueError: bad label 7")
        self.assertIn("in train", failed.exception.traceback)

    def test_a_command_line_that_is_refused_starts_nothing(self):
        with self.assertRaises(run.LaunchFailed) as failed:
            run.main(["--nproc-per-node=many", "true"])
        self.assertEqual((failed.exception.exit_status, failed.exception.message), (2, ""))

    def test_a_signal_to_the_launching_python_is_the_jobs(self):
        self.worker_that_waits()
        launcher = self.launcher_that_waits()
        launcher.terminate()
        self.assertNotEqual(launcher.wait(HANG_GUARD), 0)
        self.assertEqual((self.folder / "ended").read_text(), "SIGTERM")

    def test_the_job_ends_when_the_launching_python_is_killed(self):
        self.worker_that_waits()
        launcher = self.launcher_that_waits()
        launcher.kill()
        launcher.wait(HANG_GUARD)
        self.assertEqual(self.ends.stdout.read(), "")  # until nobody of the job is left
        self.assertEqual((self.folder / "ended").read_text(), "SIGTERM")

    def worker_that_waits(self):
        self.script(
            """
            import pathlib, signal, sys
            def end(*_):
                pathlib.Path("ended").write_text("SIGTERM")
                sys.exit(0)
            signal.signal(signal.SIGTERM, end)
            print("ready", flush=True)
            while True:
                signal.pause()
            """,
            "worker.py",
        )

    def launcher_that_waits(self):
        launcher = subprocess.Popen(
            [sys.executable, "-c", "from ferrun.run import main; main(['worker.py'])"],
            cwd=self.folder, stdout=subprocess.PIPE, text=True,
        )
        self.addCleanup(launcher.stdout.close)
        self.assertEqual(launcher.stdout.readline(), "ready\n")
        self.ends = launcher
        return launcher


class LaunchAgent(Script):
    def test_gives_each_ranks_result_of_a_function(self):
        config = run.LaunchConfig(nproc_per_node=3, max_restarts=0)
        self.assertEqual(run.elastic_launch(config, rank_and)("x"), {0: (0, "x"), 1: (1, "x"), 2: (2, "x")})

    def test_gives_nothing_of_a_program(self):
        config = run.LaunchConfig(nproc_per_node=2, max_restarts=0)
        self.assertEqual(run.launch_agent(config, "sh", ["-c", "exit 0"]), {})

    def test_raises_what_a_rank_raised(self):
        with self.assertRaises(run.LaunchFailed) as failed:
            run.elastic_launch(run.LaunchConfig(nproc_per_node=2, max_restarts=0), fail_on_rank_1)()
        self.assertEqual(failed.exception.message, "ValueError: bad label 7")

    def test_finds_functions_of_the_main_script(self):
        script = self.script(
            """
            from ferrun.run import LaunchConfig, elastic_launch
            def square(value):
                return value * value
            if __name__ == "__main__":
                print(elastic_launch(LaunchConfig(nproc_per_node=2), square)(7))
            """
        )
        done = self.python(script)
        self.assertEqual(done.stdout, "{0: 49, 1: 49}\n", done.stderr)

    def test_leaves_multiprocessing_as_it_was(self):
        script = self.script(
            """
            import multiprocessing
            from ferrun.run import LaunchConfig, elastic_launch
            if __name__ == "__main__":
                elastic_launch(LaunchConfig(), print)()
                multiprocessing.set_start_method("spawn")
            """
        )
        done = self.python(script)
        self.assertEqual(done.returncode, 0, done.stderr)


class Client(unittest.TestCase):
    def setUp(self):
        before = dict(os.environ)
        self.addCleanup(lambda: (os.environ.clear(), os.environ.update(before)))

    def test_is_a_world_of_one_without_a_launcher(self):
        self.assertEqual(client.context(), client.Context())

    def test_names_the_variable_that_is_wrong(self):
        for variables, words in (
            ({"RANK": "one"}, "RANK=one"),
            ({"RANK": "-1"}, "RANK=-1"),
            ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK=2 is outside"),
            ({"LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "2"}, "LOCAL_WORLD_SIZE=4 is larger"),
        ):
            with self.subTest(variables):
                for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
                    os.environ.pop(name, None)
                os.environ.update(variables)
                with self.assertRaisesRegex(ValueError, words):
                    client.context()

    def test_an_empty_variable_counts_as_unset(self):
        os.environ.update(RANK="", WORLD_SIZE="")
        self.assertEqual(client.context().world_size, 1)

    def test_has_a_launch_id_of_its_own_under_torchrun(self):
        os.environ["TORCHELASTIC_RUN_ID"] = "job"
        self.assertRegex(client.context().launch_id, rf"^job-{os.getppid()}-[0-9]+$")

    def test_writes_torchs_error_file(self):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["TORCHELASTIC_ERROR_FILE"] = path = os.path.join(folder, "error.json")
            try:
                fail_with_unpaired_surrogate()
            except ValueError as error:
                self.assertTrue(client.report_error(error, client.Cause.OWN))
            report = json.loads(Path(path).read_text())
            self.assertEqual(report["message"]["message"], "ValueError: bad \udc80")
            self.assertIn("in fail_with_unpaired_surrogate", report["message"]["extraInfo"]["py_callstack"])
            self.assertTrue(report["message"]["extraInfo"]["timestamp"].isdigit())
            self.assertEqual(report["ferrun"], {"kind": "own"})
            self.assertTrue(client.report_error("in words"))
            self.assertEqual(json.loads(Path(path).read_text())["message"], "in words")
            self.assertEqual(os.listdir(folder), ["error.json"])

    def test_reports_nothing_where_there_is_nowhere_to(self):
        self.assertFalse(client.report_error("lost"))
        os.environ["TORCHELASTIC_ERROR_FILE"] = "/nowhere/error.json"
        self.assertFalse(client.report_error("lost"))

    def test_the_save_flag_rises_at_each_signal_and_falls_when_taken(self):
        seen = []
        before = signal.signal(signal.SIGUSR1, lambda *_: seen.append("before"))
        self.addCleanup(signal.signal, signal.SIGUSR1, before)
        with client.SaveFlag() as save:
            self.assertFalse(save.take())
            os.kill(os.getpid(), signal.SIGUSR1)
            self.assertTrue(save.requested)
            self.assertTrue(save.take())
            self.assertFalse(save.requested or save.stopping)
            os.kill(os.getpid(), signal.SIGTERM)
            self.assertTrue(save.take() and save.stopping)
        self.assertEqual(seen, ["before"])
        self.assertEqual(signal.getsignal(signal.SIGTERM), signal.SIG_DFL)


def fail_with_unpaired_surrogate():
    raise ValueError("bad \udc80")


if __name__ == "__main__":
    unittest.main()
