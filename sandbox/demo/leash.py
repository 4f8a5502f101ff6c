"""Starts a program that can't outlive the process that started it.

    python -I -S leash.py PARENT SIGNAL [--unroot=WAY] program argument…

When the process PARENT is gone, by SIGKILL too, the program is sent SIGNAL. Linux sees to that by
itself, so there this process becomes the program; elsewhere it stays and watches. Standard
library only, and nothing of this project: it runs where nothing else can be imported.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CLONE_NEWUSER = 0x10000000
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1
NOBODY = 65534


def main(arguments: list[str]) -> int:
    parent, signal_number, command = int(arguments[0]), int(arguments[1]), arguments[2:]
    if command[0].startswith("--unroot="):
        LEAVE_ROOT[command.pop(0).removeprefix("--unroot=")]()
    if sys.platform == "linux":
        return become(command, parent, signal_number)
    return watch(command, parent, signal_number)


def become(command: list[str], parent: int, signal_number: int) -> int:
    # After leaving root, never before: a change of credentials clears it.
    check(libc().prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0))
    if os.getppid() == parent:  # else it was gone before we could ask to be told
        os.execvp(command[0], command)
    return 1


def watch(command: list[str], parent: int, signal_number: int) -> int:
    program = subprocess.Popen(command, close_fds=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda received, _: program.send_signal(received))
    while os.getppid() == parent and program.poll() is None:
        time.sleep(0.1)
    if program.poll() is None:
        program.send_signal(signal_number)
    status = program.wait()
    return status if status >= 0 else 128 - status


def enter_user_namespace() -> None:
    """Root outside, and so still the owner of its files; nobody in its own eyes."""
    check(libc().unshare(CLONE_NEWUSER))


def become_nobody() -> None:
    """For containers that refuse user namespaces. Keeps the right to pass closed folders."""
    check(libc().prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    keep = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    check(libc().capset(header, (ctypes.c_uint32 * 6)(keep, keep, keep)))
    check(libc().prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0))


LEAVE_ROOT = {"namespace": enter_user_namespace, "nobody": become_nobody}


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
