"""What the documents refer to is there: tests that they name as proof, files they lead to."""

import re
from pathlib import Path

from tests.stack import ROOT

DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("docs/decisions/*.md")]


def in_documents(pattern: str) -> list[tuple[Path, str]]:
    return [
        (path, found)
        for path in DOCUMENTS
        if not path.is_relative_to(ROOT / ".venv")
        for found in re.findall(pattern, path.read_text())
    ]


def test_each_test_that_a_document_names_is_there() -> None:
    files = list((ROOT / "tests").rglob("*.py"))
    there = {path.name for path in files}
    there |= {name for path in files for name in re.findall(r"def (test_\w+)", path.read_text())}
    named = in_documents(r"`(test_\w+(?:\.py)?)`")
    assert len(named) > 40
    assert [(path.name, name) for path, name in named if name not in there] == []


def test_each_file_that_a_document_leads_to_is_there() -> None:
    links = in_documents(r"\]\((?!https?:|mailto:|#)([^)#\s]+)[^)]*\)")
    assert len(links) > 10
    assert [(path.name, link) for path, link in links if not (path.parent / link).exists()] == []
