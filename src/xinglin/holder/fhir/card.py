"""Who a patient is: the card that the holder keeps of her, and whether two cards can be one person's."""

from collections.abc import Iterable
from typing import Annotated, Any

from msgspec import Meta

from xinglin.base.codec import Struct

IDENTIFIERS_MAX = 100
CHARS_MAX = 2_000

Text = Annotated[str, Meta(max_length=CHARS_MAX)]


class Identifier(Struct):
    system: Text
    value: Text


class PatientCard(Struct, tag="xinglin.patient-card/1"):
    """Who a subject is, for pages rendered at the holder. Sealed under the subject's key."""

    source_key: Text
    name: Text
    birth_date: Text
    identifiers: Annotated[tuple[Identifier, ...], Meta(max_length=IDENTIFIERS_MAX)]


def card_of(patient: dict[str, Any], source_key: str) -> PatientCard:
    """The card of a Patient that `validate` found nothing against, and `identifiers_of` nothing too long."""
    identifiers = tuple(Identifier(system=system, value=value) for system, value in identifiers_of(patient))
    return PatientCard(source_key=source_key, name=_name(patient)[:CHARS_MAX],
                       birth_date=patient.get("birthDate", ""), identifiers=identifiers[:IDENTIFIERS_MAX])


def identifiers_of(resource: dict[str, Any]) -> list[tuple[str, str]]:
    """(system, value) of what identifies a resource; an identifier whose value is absent identifies nothing."""
    identifiers = resource.get("identifier", ())
    return [(one.get("system", ""), one["value"])
            for one in (identifiers if type(identifiers) is list else (identifiers,))
            if type(one) is dict and type(one.get("value")) is str]


def contradiction(known: PatientCard, new: PatientCard) -> str:
    """Why the two cannot be one person's, or "". What one of them does not say contradicts nothing."""
    dates = sorted((known.birth_date, new.birth_date), key=len)
    if not dates[1].startswith(dates[0]):     # 1950 may be 1950-02-03
        return "another birth date"
    pairs = [{(one.system, one.value) for one in card.identifiers} for card in (known, new)]
    return "no identifier in common" if all(pairs) and not pairs[0] & pairs[1] else ""


def _name(patient: dict[str, Any]) -> str:
    names: Iterable[dict[str, Any]] = patient.get("name", ())
    for first in names:
        parts = [*first.get("given", ()), first.get("family")]    # absent ones are null, with an extension beside
        return str(first.get("text") or " ".join(part for part in parts if type(part) is str)).strip()
    return ""


__all__ = ["CHARS_MAX", "Identifier", "PatientCard", "card_of", "contradiction", "identifiers_of"]
