"""The recordings of this test process's stand-ins: where they are, and what is new in them."""

import atexit
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.contract.judge import PAYFLOW, Disagreement, Judge
from tests.contract.known import is_known

_folder = Path(tempfile.mkdtemp(prefix="payflow-recordings-"))
atexit.register(shutil.rmtree, _folder, ignore_errors=True)


class Recording:
    """A file that a stand-in appends to; `sender` is who calls that stand-in."""

    def __init__(self, path: Path, sender: str) -> None:
        self.path, self.sender = path, sender
        self._read_up_to = 0

    def new_lines(self) -> Iterator[dict[str, Any]]:
        """Whole lines only: the stand-in may be writing the next."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._read_up_to)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read_up_to += len(line)
                yield json.loads(line)


class Books(NamedTuple):
    """All that this process's stand-ins have recorded, and its judge."""

    recordings: list[Recording]
    judge: Judge

    def new_recording(self, sender: str) -> Path:
        """The file for `--record` of one more stand-in."""
        path = _folder / f"{len(self.recordings)}.jsonl"
        self.recordings.append(Recording(path, sender))
        return path

    def new_disagreements(self) -> list[Disagreement]:
        """Since the last time, without those known."""
        return [
            one
            for recording in self.recordings
            for line in recording.new_lines()
            for one in self.judge.judge(line, recording.sender)
            if not is_known(one)
        ]


BOOKS = Books([], Judge())

__all__ = ["BOOKS", "PAYFLOW"]
