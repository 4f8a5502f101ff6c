"""JSON as ``json.dumps(value, indent=2, ensure_ascii=False)`` writes it, at a fraction of the cost.

The standard library's fast encoder knows no indentation; each payment makes some five events.
"""

import json
from json.encoder import encode_basestring
from typing import Any

_WORDS = {None: "null", True: "true", False: "false"}


def dumps(value: Any, line: str = "\n") -> str:
    """``line`` is a newline with the indentation that the value's last line stands at."""
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if value is None or kind is bool:
        return _WORDS[value]
    if kind is int:
        return repr(value)
    if kind is dict and value:
        inner = line + "  "
        members = [f"{encode_basestring(key)}: {dumps(item, inner)}" for key, item in value.items()]
        return "{" + inner + f",{inner}".join(members) + line + "}"
    if kind is list and value:
        inner = line + "  "
        return "[" + inner + f",{inner}".join([dumps(item, inner) for item in value]) + line + "]"
    return json.dumps(value)  # what is empty, and what no object of Stripe's has
