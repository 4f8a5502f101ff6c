"""Many more histories than `make test` plays, in processes side by side: `make soak N=20000`.

Each process plays a part under a seed of its own, and is told how to be repeated where it fails.
N: histories at the domain level, HTTP: over HTTP, CHAOS: rounds of blows to two workers, SEED: of
the first part, PROCESSES: at once.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

SEED = int(os.environ.get("SEED", str(int(time.time()))))
# Histories in a process: few enough that one which fails is soon played again.
AT_ONCE, AT_ONCE_OVER_HTTP, ROUNDS_AT_ONCE = 1000, 100, 10


class Part(NamedTuple):
    """So many histories under a seed; `counts` is the variable that says how many."""

    counts: str
    histories: int
    seed: int
    tests: tuple[str, ...]

    @property
    def command(self) -> str:
        """By which a person plays it again."""
        variables = f"SEED={self.seed} {self.counts}={self.histories}"
        return f"{variables} .venv/bin/python -m pytest -x {' '.join(self.tests)}"


class Played(NamedTuple):
    part: Part
    seconds: float
    failure: str


def parts(number: int, over_http: int, rounds: int) -> list[Part]:
    domain = ("tests/histories/test_domain.py", "tests/histories/test_order.py")
    shared = [
        *_divided("HISTORIES", number, AT_ONCE, domain),
        *_divided(
            "HTTP_HISTORIES", over_http, AT_ONCE_OVER_HTTP, ("tests/histories/test_over_http.py",)
        ),
        *_divided("CHAOS_ROUNDS", rounds, ROUNDS_AT_ONCE, ("tests/crashes/test_chaos.py",)),
    ]
    # Each round has a seed of its own, counted from its part's.
    return [part._replace(seed=SEED + place * ROUNDS_AT_ONCE) for place, part in enumerate(shared)]


def _divided(counts: str, number: int, at_once: int, tests: tuple[str, ...]) -> list[Part]:
    starts = range(0, number, at_once)
    return [Part(counts, min(at_once, number - start), 0, tests) for start in starts]


def play(part: Part) -> Played:
    begun = time.monotonic()
    options = ("-q", "-x", "--show-capture=no", "--tb=short", "-p", "no:cacheprovider")
    played = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *part.tests],
        env={**os.environ, "SEED": str(part.seed), part.counts: str(part.histories)},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - begun
    return Played(part, seconds, played.stdout + played.stderr if played.returncode else "")


def main() -> int:
    begun, failed = time.monotonic(), 0
    all_parts = parts(
        int(os.environ.get("N", "20000")),
        int(os.environ.get("HTTP", "0")),
        int(os.environ.get("CHAOS", "0")),
    )
    with ThreadPoolExecutor(int(os.environ.get("PROCESSES", "0")) or os.cpu_count()) as processes:
        for part, seconds, failure in processes.map(play, all_parts):
            outcome = "FAILED" if failure else "fine"
            told = f"{part.counts} {part.histories:6} seed {part.seed}: {outcome}"
            print(f"{told} in {seconds:.1f} s", flush=True)
            if failure:
                failed += 1
                print(f"{failure}\nAgain: {part.command}", flush=True)
    played = sum(part.histories for part in all_parts)
    seconds = time.monotonic() - begun
    print(f"{played} histories in {len(all_parts)} parts, {failed} failed, {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
