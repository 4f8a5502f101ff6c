"""Finding the processes that a test is about, and no others: by a folder only it uses."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def holding(folder: str) -> list[int]:
    """Living processes that have the folder in their arguments, environment or open files."""
    return [pid for pid in pids() if pid != os.getpid() and is_alive(pid) and mentions(pid, folder)]


def pids() -> list[int]:
    if sys.platform == "linux":
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    listing = subprocess.run(["ps", "-A", "-o", "pid="], capture_output=True, text=True, check=True)
    return [int(word) for word in listing.stdout.split()]


def is_alive(pid: int) -> bool:
    """A zombie is dead; it only waits for whoever started it to look."""
    command = ["ps", "-p", str(pid), "-o", "stat="]
    if sys.platform == "linux":
        with suppress(OSError):
            return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
        return False
    status = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return bool(status) and not status.startswith("Z")


def mentions(pid: int, folder: str) -> bool:
    if sys.platform == "linux":
        return folder in linux_traces(Path(f"/proc/{pid}"))
    command = ["ps", "-E", "-p", str(pid), "-o", "command="]
    return folder in subprocess.run(command, capture_output=True, text=True, check=False).stdout


def linux_traces(process: Path) -> str:
    """The open files, too: a Postgres backend overwrites its arguments."""
    traces = []
    for name in ("cmdline", "environ"):
        with suppress(OSError):
            traces.append((process / name).read_text(errors="replace"))
    with suppress(OSError):
        traces.append(str((process / "cwd").readlink()))
        traces.extend(str(file.readlink()) for file in (process / "fd").iterdir())
    return "\n".join(traces)
