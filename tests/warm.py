"""Commands run by forks of a process that has imported what they need: a cold start costs seconds.

``python tests/warm.py MODULE ...`` imports the modules, then runs a command for each line of JSON that it
reads. The command sees a process of its own: its arguments, folder, environment, output and exit status.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
START_S = 1800.0  # imports alone take minutes on a busy machine


class Warm:
    """A process that waits with its modules imported."""

    def __init__(self, *modules: str) -> None:
        # A fork copies no threads, so none may be started: neither OpenMP's nor that of pyarrow's jemalloc.
        alone = {"OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
        self._server = subprocess.Popen(
            [sys.executable, __file__, *modules],
            env=os.environ | alone | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._waits = False

    def run(
        self, *words: str, cwd: Path, env: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a script with its arguments, or a module after "-m", as `python WORDS` does."""
        with tempfile.TemporaryDirectory() as folder:
            out, err = (Path(folder, name) for name in ("out", "err"))
            order = {"words": words, "cwd": str(cwd), "env": env, "out": str(out), "err": str(err)}
            self._waits = self._waits or bool(self._ask(None, START_S))
            pid = int(self._ask(json.dumps(order), timeout))
            try:
                code = int(self._ask(None, timeout))
            except subprocess.TimeoutExpired:
                os.killpg(pid, signal.SIGKILL)
                self._ask(None, timeout)
                raise
            return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())

    def stop(self) -> None:
        self._server.communicate()

    def _ask(self, line: str | None, timeout: float) -> str:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        if line is not None:
            print(line, file=self._server.stdin, flush=True)
        # one line comes at a time, so that none waits in Python's own buffer
        if not select.select([self._server.stdout], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self._server.args, timeout)
        return self._server.stdout.readline()


def _become(words: list[str], cwd: str, env: dict[str, str], out: str, err: str) -> None:
    """Turn this fork into the process that was asked for, all but its code."""
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for path, mode, number in (("/dev/null", os.O_RDONLY, 0), (out, os.O_WRONLY, 1), (err, os.O_WRONLY, 2)):
        file = os.open(path, mode | os.O_CREAT, 0o600)
        os.dup2(file, number)
        os.close(file)
    sys.argv = words[1:] if words[0] == "-m" else words
    sys.path[0] = cwd if words[0] == "-m" else str(Path(words[0]).parent)


def _compose_once() -> None:
    """Compose the settings, so that parsers and plugins are there when a fork composes its own."""
    from hydra import compose, initialize_config_dir

    from fatebias import compose as settings

    settings.register()
    with initialize_config_dir(str(settings.CONF), version_base="1.3"):
        compose("config")


def _serve() -> list[str]:
    """Fork for each command; only the forks return, with what they are to run."""
    while line := sys.stdin.readline():
        order = json.loads(line)
        if (pid := os.fork()) == 0:
            _become(**order)
            return list(order["words"])
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    sys.exit()


if __name__ == "__main__":
    for module in sys.argv[1:]:
        importlib.import_module(module)
    if "fatebias.app.cli" in sys.modules:
        _compose_once()
    gc.freeze()  # a fork need not go through what was there before it
    threads = os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else ["this one"]
    assert len(threads) == 1, f"{sys.argv[1:]} start {len(threads) - 1} threads, which a fork would lose"
    print("imported", flush=True)
    todo = _serve()
    if todo[0] == "-m":
        runpy.run_module(todo[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(todo[0], run_name="__main__")
