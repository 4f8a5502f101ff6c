"""Programs under a supervisor: started on a leash, stopped within a bound, restarted if they die.

Knows nothing of payflow or Postgres. Everything here is to be called from the main thread: on
Linux the leash holds on to the thread that started the program, not to its process.
"""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

LEASH = Path(__file__).with_name("leash.py")

RESTARTS_ALLOWED = 5
RESTARTS_PERIOD = 60.0  # seconds
TAIL_LINES = 20


def on_leash(command: Sequence[str], on_orphaned: signal.Signals, *options: str) -> list[str]:
    """The command as one that gets the signal when this process is gone."""
    leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), str(int(on_orphaned))]
    return [*leash, *options, *command]


@dataclass
class Program:
    """A long-running program in a process group of its own, its output in a log."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    folder: Path
    on_orphaned: signal.Signals = signal.SIGKILL
    process: subprocess.Popen[bytes] | None = None
    started_at: deque[float] = field(default_factory=lambda: deque(maxlen=RESTARTS_ALLOWED + 1))

    def start(self) -> None:
        self.started_at.append(time.monotonic())
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                on_leash(self.command, self.on_orphaned),
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is the supervisor's to hear
            )

    def died(self) -> int | None:
        """The exit status if it was started and is no longer running."""
        return None if self.process is None else self.process.poll()

    def may_restart(self) -> bool:
        """No more than a few times a minute, so that a broken program doesn't fill the terminal."""
        too_often = len(self.started_at) == self.started_at.maxlen
        return not too_often or time.monotonic() - self.started_at[0] > RESTARTS_PERIOD

    def restart(self) -> None:
        self.kill_group()  # what it left behind may still hold its port
        self.start()

    def ask_to_stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def kill_group(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):  # macOS: a group of zombies only
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def stop_all(programs: Sequence[Program], within: float) -> None:
    """Asks them to stop, all at once; whatever is left after so many seconds is killed."""
    for program in programs:
        program.ask_to_stop()
    until(lambda: all(p.process is None or p.died() is not None for p in programs), within)
    for program in programs:
        program.kill_group()


def until(condition: Callable[[], bool], within: float, every: float = 0.02) -> bool:
    """Whether the condition came true within so many seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The end of a log, indented for a terminal."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (no output)"


def describe_exit(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
