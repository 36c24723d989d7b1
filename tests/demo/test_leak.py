"""The search finds a person in any spelling, whole or in part; it does not find vocabulary or chance."""

import base64
import random
from pathlib import Path
from typing import Any

import pytest

from xinglin.demo import leak
from xinglin.holder.codes import HolderCode
from xinglin.holder.fhir import Problem, Source, read_sample


def strings(*resources: dict[str, Any], full_url: str = "") -> set[str]:
    return leak.identifying_strings(Source("a.json", "", full_url, "", resource) for resource in resources)


def finds(data: bytes, *looked_for: str) -> list[str]:
    return [spelling for _, spelling in leak.Needles(looked_for).in_bytes(data)]


# -- what identifies

PATIENT: dict[str, Any] = {
    "resourceType": "Patient", "id": "27a60d9c-3978", "gender": "female", "birthDate": "1971-02-03",
    "deceasedDateTime": "2031-05-06T07:08:09Z",
    "meta": {"profile": ["http://example.org/profile/patient"]},
    "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">born in Gloucester</div>"},
    "name": [{"use": "official", "family": "Feest103", "given": ["Trish512", "陈小梅"]}],
    "identifier": [{"system": "http://hospital.example.org", "value": "999-65-3251", "type": {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "SSNUMBER",
                    "display": "Social Security Number"}], "text": "Social Security Number"}}],
    "telecom": [{"system": "phone", "value": "555-862-7781", "use": "home"}],
    "address": [{"line": ["1038 Wolff Rue"], "city": "Quincy", "state": "Massachusetts", "postalCode": "021690001"}],
    "maritalStatus": {"coding": [{"code": "MARRIED1", "display": "Married or not"}], "text": "Married or not"},
    "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName",
                   "valueString": "Marlys Balistreri"}],
    "contact": [{"name": {"text": "Leandro Feest"}}],
    "generalPractitioner": [{"reference": "Practitioner/9999984591", "display": "Dr. Elane Waters"}],
}


@pytest.mark.parametrize("text", [
    "Feest103", "Trish512", "陈小梅", "999-65-3251", "555-862-7781", "1038 Wolff Rue", "Quincy", "Massachusetts",
    "021690001", "Marlys Balistreri", "Leandro Feest", "1971-02-03", "2031-05-06T07:08:09Z", "27a60d9c-3978",
    "9999984591", "Dr. Elane Waters"])
def test_what_tells_who_someone_is_is_looked_for(text: str) -> None:
    assert text in strings(PATIENT)


@pytest.mark.parametrize("text", [
    "female", "official", "SSNUMBER", "Social Security Number", "MARRIED1", "Married or not", "Patient", "generated",
    "http://hospital.example.org", "http://example.org/profile/patient", "phone"])
def test_vocabulary_is_not(text: str) -> None:
    assert text not in strings(PATIENT)


def test_free_text_in_the_place_of_a_code_is_no_vocabulary() -> None:
    found = strings({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"},
                     "code": {"text": "fell off the ladder at home"}})
    assert "fell off the ladder at home" in found


def test_a_note_an_attachment_and_what_is_contained_are_looked_for_in_pieces() -> None:
    text = "Sleeps badly since the spring, and sees no way out of it. Lives alone above the bakery in Mill Lane."
    found = strings({"resourceType": "DocumentReference", "id": "d", "status": "current", "content": [{
        "attachment": {"contentType": "text/plain", "data": base64.b64encode(text.encode()).decode()}}],
        "contained": [{"resourceType": "Practitioner", "id": "p", "name": [{"family": "Waterhouse"}]}],
        "description": text}, full_url="urn:uuid:8c1f2b44-0000")
    assert "Waterhouse" in found and "8c1f2b44-0000" in found
    fragments = [text[at:at + 63] for at in range(len(text) - 62)]
    assert all(finds(fragment.encode(), *found) for fragment in fragments)
    encoded = base64.b64encode(text.encode())
    assert finds(b"\x00" + encoded[8:100] + b"\x00", *found)


def test_elements_that_the_definitions_do_not_know_are_looked_for() -> None:
    assert {"Feest103", "Wolff Rue"} <= strings({"resourceType": "Patient", "nickname": ["Feest103"],
                                                 "lives": {"at": "Wolff Rue"}})
    assert "no resource at all" in strings({"resourceType": "Nothing", "x": "no resource at all"})


def test_an_extension_beside_a_value_is_looked_into() -> None:
    assert "Anna the Second" in strings({"resourceType": "Patient", "birthDate": "1970", "_birthDate": {
        "extension": [{"url": "urn:x", "valueString": "Anna the Second"}]}})


def test_what_any_file_may_hold_by_chance_is_not_looked_for() -> None:
    found = strings({"resourceType": "Device", "serialNumber": "344713", "lotNumber": "12345678", "id": "abcde"})
    assert found == set()
    assert strings({"resourceType": "Device", "serialNumber": "123456789"}) == {"123456789"}
    assert leak.identifying_strings([Problem(HolderCode.JSON_NOT_VALID, "a.json")]) == set()


def test_control_characters_and_lone_surrogates_do_no_harm() -> None:
    found = strings({"resourceType": "Patient", "name": [{"text": "Anna\x00Bertha\x1fChristina"}],
                     "address": [{"city": "\ud800\ud800city of"}]})
    assert {"Bertha", "Christina"} <= found
    assert finds(b"..Bertha..", *found) == ["utf-8"]


# -- where

NAME = "Trish512 Feest103"


@pytest.mark.parametrize(("spelling", "data"), [
    ("utf-8", NAME.encode()), ("hex", NAME.encode().hex().encode()), ("hex", NAME.encode().hex().upper().encode()),
    *(("base64", base64.b64encode(bytes(before) + NAME.encode() + bytes(after)))
      for before in range(4) for after in range(4))])
def test_each_spelling_is_found_wherever_it_stands(tmp_path: Path, spelling: str, data: bytes) -> None:
    for before, after in ((b"", b""), (b"\x00\xff", b"\xfe"), (b"abc", b"def"), ("陈".encode(), "梅".encode())):
        file = tmp_path / "file"
        file.write_bytes(before + data + after)
        hits = leak.search([file], [NAME])
        assert spelling in {hit.spelling for hit in hits} and {hit.file for hit in hits} == {file}
    assert not leak.search([file], ["Somebody Else"])


def test_url_safe_base64_is_found() -> None:
    text = "??>>??>>~~"
    assert b"_" in base64.urlsafe_b64encode(text.encode())
    assert "base64" in finds(base64.urlsafe_b64encode(b"a" + text.encode()), text)


@pytest.mark.parametrize("name", ["陈小梅医生", "Zoë Müller", "Ольга Иванова", "👩‍⚕️ nurse"])
def test_names_of_any_script_are_found_between_any_bytes(name: str) -> None:
    chance = random.Random(name)
    for _ in range(200):
        data = chance.randbytes(chance.randrange(9)) + name.encode() + chance.randbytes(chance.randrange(9))
        assert "utf-8" in finds(data, name)


def test_of_many_needles_each_is_found_at_its_place() -> None:
    chance = random.Random(5)
    names = [f"{chance.choice('ABCDEF')}{number:05d} Feest" for number in range(3_000)]
    data, places = b"", {}
    for name in chance.sample(names, 200):
        data += chance.randbytes(40)
        places[len(data)] = name
        data += name.encode()
    assert {offset for offset, spelling in leak.Needles(names).in_bytes(data)} == set(places)


def test_random_bytes_hold_nobody() -> None:
    found = leak.identifying_strings(read_sample())
    assert len(found) > 5_000
    assert not list(leak.Needles(found).in_bytes(random.Random(3).randbytes(1_000_000)))
