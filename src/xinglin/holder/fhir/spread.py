"""Labels from record to record: what names a withheld record must itself be withheld.

A Provenance tells the type and id of each of its targets, and a reader who is refused a record must not learn
that there is one. So labels run from a record to all that name it, as far as names go.
"""

from collections.abc import Iterable, Mapping

from xinglin.holder.fhir.head import HEAD_LABELS_MAX
from xinglin.holder.fhir.owner import DIRECTORY


def spreads(kind: str) -> bool:
    """Whether naming a resource of this type tells anything: not the patient herself, nor who cares for her."""
    return kind != "Patient" and kind not in DIRECTORY


def spread(labels: Mapping[str, Iterable[str]], namers: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """The labels of each record and of all that it names, directly or not. `namers`: record -> who names it.

    A record with more than HEAD_LABELS_MAX is refused whatever they are, and so is what names it: no more are gathered.
    """
    found = {key: set(own) for key, own in labels.items()}
    waiting = [key for key, own in found.items() if own]
    while waiting:
        key = waiting.pop()
        handed_on = found[key]
        if len(handed_on) > HEAD_LABELS_MAX:
            handed_on = {*sorted(handed_on)[:HEAD_LABELS_MAX + 1]}
        for namer in namers.get(key, ()):
            if len(found[namer]) <= HEAD_LABELS_MAX and not handed_on <= found[namer]:
                found[namer] |= handed_on
                waiting.append(namer)
    return found


__all__ = ["spread", "spreads"]
