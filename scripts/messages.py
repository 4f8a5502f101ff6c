"""Bring the catalogues of translations/ up to date with the code and templates, and compile them.

python scripts/messages.py            what is to be translated is then empty in messages.po
python scripts/messages.py --check    change nothing; exit 1 where a catalogue lacks something
"""

import io
import re
import sys
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
METHODS = [("**.py", "python"), ("**.html", "jinja2"), ("**.txt", "jinja2")]
VALUES = re.compile(r"%\(\w+\)[sd]|{\w+}")
KEYWORDS = {"_": None, "_l": None, "gettext": None, "lazy_gettext": None}


def extracted() -> Catalog:
    """All that is said in English."""
    catalogue = Catalog()
    for folder in ("payflow", "templates"):
        found = extract_from_dir(ROOT / folder, METHODS, keywords=KEYWORDS)
        for _, _, message, _, _ in found:
            catalogue.add(message)
    return catalogue


def updated(file: Path, said: Catalog) -> tuple[Catalog, list[str]]:
    """A language's catalogue with just what is said, and what it has no true words for."""
    with file.open("rb") as stream:
        catalogue = read_po(stream, locale=file.parts[-3])
    catalogue.update(said, no_fuzzy_matching=True, update_creation_date=False)
    catalogue.obsolete.clear()
    return catalogue, [str(m.id) for m in catalogue if m.id and not _is_translated(m)]


def _is_translated(message: Message) -> bool:
    """A translation names the same values as what it translates."""
    said, translated = (set(VALUES.findall(str(text))) for text in (message.id, message.string))
    return bool(message.string) and not message.fuzzy and said == translated


def main() -> int:
    check, said, status = "--check" in sys.argv, extracted(), 0
    for file in sorted(ROOT.glob("translations/*/LC_MESSAGES/messages.po")):
        catalogue, missing = updated(file, said)
        texts = {file: io.BytesIO(), file.with_suffix(".mo"): io.BytesIO()}
        write_po(texts[file], catalogue, width=100, no_location=True, sort_output=True)
        write_mo(texts[file.with_suffix(".mo")], catalogue)
        for path, text in texts.items():
            if not path.exists() or path.read_bytes() != text.getvalue():
                if check:
                    print(f"{path.relative_to(ROOT)} is not up to date: run `make messages`")
                    status = 1
                else:
                    path.write_bytes(text.getvalue())
        for message in missing:
            print(f"{file.parts[-3]} has no words, or other values, for: {message}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
