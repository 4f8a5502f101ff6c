"""Holds what the stand-in was recorded to say, and what it was asked, against Stripe's document.

Judged are each answer under /v1 by its operation's schema (or the error schema), each event and the
object in it, each request's parameters. A request counts against the stand-in if it was taken and
the document does not know it, or refused as unknown and the document does know it; requests of
payflow's must fit the document whatever the answer was.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sandbox.protocol.errors import ApiError
from tests.contract.document import API_VERSION, Operation, event_types, objects, operation
from tests.contract.parameters import decoded
from tests.contract.schemas import component_validator, operation_validator

PAYFLOW = "payflow"


class Disagreement(NamedTuple):
    """`subject` is a kind of object (`charge`) or an operation (`POST /v1/refunds`), `path` the way
    into it (`refunds.data[].status`), `fault` what the document says to it."""

    subject: str
    path: str
    fault: str
    seen_in: str = ""

    def __str__(self) -> str:
        place = f"{self.subject}: {self.path or 'itself'}: {self.fault}"
        return f"{place}\n    in {self.seen_in}" if self.seen_in else place


class Judge:
    """`counts` says how much was judged; a disagreement is told once however often it is met."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._told: set[Disagreement] = set()

    def judge(self, record: Mapping[str, Any], sender: str) -> list[Disagreement]:
        """What is new in one line of a recording; `sender` is who sent the requests in it."""
        if "event" in record:
            found = list(self._event(record["event"]))
        else:
            found = list(self._exchange(record["exchange"], sender))
        return [one for one in found if self._is_new(one)]

    def _is_new(self, one: Disagreement) -> bool:
        bare = one._replace(seen_in="")
        new = bare not in self._told
        self._told.add(bare)
        return new

    def _event(self, event: Mapping[str, Any]) -> Iterator[Disagreement]:
        if event["api_version"] != API_VERSION:
            self.counts["events of older versions, not judged"] += 1
            return
        self.counts["events"] += 1
        self.counts["objects"] += number_of_objects(event)
        yield from object_faults(event, f"event {event['type']}")
        yield from event_faults(event)

    def _exchange(self, exchange: Mapping[str, Any], sender: str) -> Iterator[Disagreement]:
        found = operation(exchange["method"], exchange["path"])
        if found is not None:
            self.counts["requests"] += 1
            yield from request_faults(found, exchange, sender)
        elif (exchange["status"] or 404) < 400:
            yield Disagreement(
                f"{exchange['method']} {exchange['path']}", "", "Stripe has no such operation"
            )
        yield from self._answer(found, exchange)

    def _answer(
        self, found: Operation | None, exchange: Mapping[str, Any]
    ) -> Iterator[Disagreement]:
        if exchange["status"] is None:
            self.counts["requests without an answer"] += 1
            return
        if exchange["answer_headers"].get("Stripe-Version") not in (API_VERSION, None):
            self.counts["answers of older versions, not judged"] += 1
            return
        self.counts["errors" if exchange["status"] >= 400 else "answers"] += 1
        seen_in = f"{exchange['method']} {exchange['path']} → {exchange['status']}"
        try:
            answer = json.loads(exchange["answer"])
        except ValueError:
            yield Disagreement(_subject(found, exchange), "", "the answer is not JSON", seen_in)
            return
        answer = self._without_older_events(answer)
        self.counts["objects"] += number_of_objects(answer)
        if exchange["status"] >= 400:
            yield from answer_faults(component_validator("error"), answer, seen_in)
        elif found is not None:
            yield from answer_faults(operation_validator(found.name, "answer"), answer, seen_in)
        for event in _events_in(answer):
            yield from event_faults(event)

    def _without_older_events(self, answer: Any) -> Any:
        """A list of events holds each in the version that it was made in, whoever asks."""
        if not (isinstance(answer, dict) and isinstance(answer.get("data"), list)):
            return answer
        younger = [one for one in answer["data"] if not _is_older_event(one)]
        self.counts["events of older versions, not judged"] += len(answer["data"]) - len(younger)
        return answer | {"data": younger}


def _is_older_event(listed: Any) -> bool:
    return (
        isinstance(listed, dict)
        and listed.get("object") == "event"
        and listed.get("api_version") != API_VERSION
    )


def _subject(found: Operation | None, exchange: Mapping[str, Any]) -> str:
    return found.name if found else f"{exchange['method']} {exchange['path']}"


def request_faults(
    found: Operation, exchange: Mapping[str, Any], sender: str
) -> Iterator[Disagreement]:
    part = "body" if exchange["method"] == "POST" else "query"
    schema = getattr(found, part)
    try:
        sent = decoded(_encoded(exchange), schema)
    except ApiError:
        faults = [Disagreement(found.name, "", "the parameters can't be read")]
    else:
        faults = list(_parameter_faults(found, part, sent))
    accepted = exchange["status"] is not None and exchange["status"] < 400
    if accepted or sender == PAYFLOW:
        words = "taken" if accepted else f"sent by {sender}"
        for fault in faults:
            yield fault._replace(seen_in=f"a request, {words}: {_encoded(exchange)}")
    elif not faults and (unknown := _refused_as_unknown(exchange)):
        yield Disagreement(found.name, unknown, "refused as unknown; the document knows it")


def _encoded(exchange: Mapping[str, Any]) -> str:
    """What stands in the address of a POST counts as if it stood in its body."""
    return "&".join(filter(None, (exchange["query"], exchange["body"])))


def _parameter_faults(found: Operation, part: str, sent: Any) -> Iterator[Disagreement]:
    for error in operation_validator(found.name, part).iter_errors(sent):
        yield Disagreement(found.name, _dotted(error.instance_path), _words(error.message))


def _refused_as_unknown(exchange: Mapping[str, Any]) -> str | None:
    if exchange["status"] != 400 or '"parameter_unknown"' not in exchange["answer"]:
        return None
    error = json.loads(exchange["answer"])["error"]
    return str(error["param"]) if error.get("code") == "parameter_unknown" else None


def event_faults(event: Mapping[str, Any]) -> Iterator[Disagreement]:
    """The type, and that the object was one before the change as well."""
    if event["api_version"] != API_VERSION:
        return
    if event["type"] not in event_types():
        yield Disagreement("event", "type", f"there is no {event['type']}")
    data = event["data"]
    if "previous_attributes" in data:
        before = merged(data["object"], data["previous_attributes"])
        yield from object_faults(before, f"event {event['type']}, its previous attributes")


def merged(now: Any, before: Any) -> Any:
    """The object as it was: what has changed is told as far down as it has changed."""
    if not (isinstance(now, dict) and isinstance(before, dict)):
        return before
    return now | {name: merged(now.get(name), value) for name, value in before.items()}


def answer_faults(check: Any, answer: Any, seen_in: str) -> Iterator[Disagreement]:
    """By the schema of the answer, and each of Stripe's objects in it by that of its kind."""
    yield from _faults(check, answer, "answer", seen_in)
    yield from object_faults(answer, seen_in)


def object_faults(node: Any, seen_in: str) -> Iterator[Disagreement]:
    for one in objects_in(node):
        kind = one["object"]
        name = f"deleted_{kind}" if one.get("deleted") else objects().get(kind)
        if name is None:
            yield Disagreement(kind, "", "there is no such object", seen_in)
        else:
            yield from _faults(component_validator(name), one, kind, seen_in)


def objects_in(node: Any) -> Iterator[dict[str, Any]]:
    """Stripe's objects, from the outside in; lists have a schema where they stand, not their own.

    What a merchant's metadata holds is no object, whatever its keys.
    """
    if isinstance(node, list):
        for item in node:
            yield from objects_in(item)
    elif isinstance(node, dict):
        if node.get("object", "list") != "list" and isinstance(node["object"], str):
            yield node
        for name, value in node.items():
            if name != "metadata":
                yield from objects_in(value)


def _faults(check: Any, instance: Any, subject: str, seen_in: str) -> Iterator[Disagreement]:
    for error in check.iter_errors(instance):
        yield Disagreement(subject, _dotted(error.instance_path), _words(error.message), seen_in)


def _dotted(path: Iterable[str | int]) -> str:
    text = "".join("[]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def _words(message: str) -> str:
    """Without the value where that is long, and without the ids of this run."""
    if len(message) > 300:
        message = f"{message[:120]} … {message[-160:]}"
    return re.sub(r"\b([a-z]{2,6}_(?:test_)?)[A-Za-z0-9]{14,}", r"\1…", message)


def _events_in(answer: Any) -> Iterator[Mapping[str, Any]]:
    found = answer.get("data", []) if answer.get("object") == "list" else [answer]
    return (one for one in found if isinstance(one, dict) and one.get("object") == "event")


def number_of_objects(node: Any) -> int:
    return sum(1 for _ in objects_in(node))
