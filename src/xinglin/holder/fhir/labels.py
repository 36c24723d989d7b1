"""Security labels of a record: its own `meta.security`, and what a versioned table says of its codes.

A label is "system|code" of HL7 v3-ActCode (sensitivity) or v3-Confidentiality. The table finds what a
source left unlabelled; it is short, names no code that its source does not, and grows by version: what
an older version labelled stays labelled. A code system counts under each of its names (`system_of`), and a
label that has no code counts as restricted: somebody meant to protect something.

Sources  HL7 ActInformationSensitivityPolicy (the labels); blocks of ICD-10 and ICD-10-CM; HL7 SHIFT task
         force, Leap SLS and Synthea value sets (SNOMED CT, RxNorm, PHQ-9); R4 ValueSet c80-doc-typecodes
         (notes); LOINC names (questionnaires); New York State, preferred LOINCs for the HIV algorithm
"""

import functools
import re
from collections.abc import Iterable
from typing import Any

from xinglin.modules.decision import ACT_CODE, CONFIDENTIALITY, RESTRICTED

LABEL_TABLE_VERSION = 2           # 2: names of systems, labels without a code

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
# The codes below _InformationSensitivityPolicy in R4's CodeSystem v3-ActCode.
SENSITIVITY = frozenset({
    "ETH", "GDIS", "HIV", "MST", "SCA", "SDV", "SEX", "SPI", "BH", "COGN", "DVD", "EMOTDIS", "MH", "PSY", "PSYTHPN",
    "SUD", "ETHUD", "OPIOIDUD", "STD", "TBOO", "VIO", "SICKLE", "DEMO", "DOB", "GENDER", "LIVARG", "MARST", "RACE",
    "REL", "B", "EMPL", "LOCIS", "SSP", "ADOL", "CEL", "DIA", "DRGIS", "EMP", "PDS", "PHY", "PRS"})

ICD_10_SYSTEM = "http://hl7.org/fhir/sid/icd-10"   # its national editions too: they share the blocks below

# Other names of a system, without scheme and final slash, in lower case.
ALIASES = {
    "hl7.org/fhir/v3/actcode": ACT_CODE, "2.16.840.1.113883.5.4": ACT_CODE,
    "hl7.org/fhir/v3/confidentiality": CONFIDENTIALITY, "2.16.840.1.113883.5.25": CONFIDENTIALITY,
    "2.16.840.1.113883.6.1": LOINC, "2.16.840.1.113883.6.96": SNOMED, "2.16.840.1.113883.6.88": RXNORM,
    "2.16.840.1.113883.6.3": ICD_10_SYSTEM, "2.16.840.1.113883.6.90": ICD_10_SYSTEM,
    # WS/T diagnosis codes of the Chinese electronic record
    "2.16.156.10011.2.3.3.11": ICD_10_SYSTEM, "2.16.156.10011.2.3.3.11.3": ICD_10_SYSTEM,
} | {system.removeprefix("http://").lower(): system for system in (ACT_CODE, CONFIDENTIALITY, LOINC, SNOMED, RXNORM)}
SYSTEM_CHARS_MAX = 200           # a longer name is nobody's

# "icd-10", "icd-10-gm/2024", "icd10cm"; ICD-10-PCS codes procedures by other letters.
_icd_10 = re.compile(r"(?:^|[/:])icd-?10(?!-?pcs|[0-9])[a-z0-9_-]{0,20}(?:$|[/:])").search

# label -> prefixes of ICD-10 and ICD-10-CM, dots left out; tobacco (F17) is not protected
ICD_10: dict[str, tuple[str, ...]] = {
    "SUD": ("F10", "F11", "F12", "F13", "F14", "F15", "F16", "F18", "F19"),
    "PSY": ("F2", "F3", "F4", "F5", "F6", "F90", "F91", "F92", "F93", "F94", "F98", "F99"),
    "HIV": ("B20", "B21", "B22", "B23", "B24", "Z21", "R75"),
    "STD": ("A50", "A51", "A52", "A53", "A54", "A55", "A56", "A57", "A58", "A59", "A60", "A63", "A64"),
    "SEX": ("F52", "F64", "F65", "F66", "O04", "Z332", "Z640"),
    "SDV": ("T74", "T76", "Y07"),
    "SCA": ("D57",),
}

# label -> codes
LOINC_CODES: dict[str, tuple[str, ...]] = {
    "PSY": (
        "34788-0", "34102-4", "34865-6", "59259-2", "34790-6", "68599-0", "28628-6", "68601-4", "28627-8",
        "57157-0", "28635-1", "68648-5", "68642-8", "68644-4", "68645-1", "68646-9",  # psychiatry notes
        "34791-4", "34866-4", "34793-0", "34792-2", "11510-5", "57158-8", "11497-5", "18738-5",  # psychology
    ),
    "MH": ("34785-6", "34864-9", "34787-2", "34786-4", "34904-3", "57143-0"),       # mental health notes
    "BH": (
        "44249-1", "44261-6", "89204-2",       # PHQ-9: panel, score, adolescent
        "55757-9", "55758-7",                  # PHQ-2
        "69737-5", "70274-6",                  # GAD-7
    ),
    "SUD": (
        "34857-3", "18823-5",                  # substance abuse notes
        "82666-9", "82667-7",                  # DAST-10
        "72109-2", "75626-2",                  # AUDIT-C
        "65750-2",                             # drugs of abuse in urine
    ),
    "HIV": ("56888-1", "48345-3", "579-5", "31201-7", "69668-2", "5018-7", "5017-9", "25835-0", "80387-4",
            "74264-3", "47245-6"),
    "SDV": ("76499-3", "76504-0"),             # HARK
}

SNOMED_CODES: dict[str, tuple[str, ...]] = {
    "PSY": ("310496002", "1376001", "192127007"),   # depression, OCPD, child ADD
    "PSYTHPN": ("444175001",),                       # cognitive behavioural therapy record
    "SUD": ("5602001", "145121000119106", "6525002", "724713006", "361055000",
            "56876005", "60112009", "61480009", "266707007"),
    "HIV": ("31676001",),                            # HIV antigen test
    "SDV": ("706893006", "866148006"),               # intimate partner abuse, screening for it
    "SEX": ("10383002", "714812005", "386394001"),   # termination of pregnancy
}

RXNORM_CODES: dict[str, tuple[str, ...]] = {
    "SUD": ("352364",),                              # buprenorphine 8 mg / naloxone 2 mg
    "BH": ("315952",),                               # fluoxetine 20 mg
}

_BY_CODE: dict[tuple[str, str], tuple[str, ...]] = {}
for _system, _table in ((LOINC, LOINC_CODES), (SNOMED, SNOMED_CODES), (RXNORM, RXNORM_CODES)):
    for _label, _codes in _table.items():
        for _found in _codes:
            _BY_CODE[_system, _found] = (*_BY_CODE.get((_system, _found), ()), _label)


def labels_of(resource: dict[str, Any], codings: Iterable[tuple[str, str]],
              marks: Iterable[Any]) -> tuple[str, ...]:
    """The record's labels, sorted. `codings` are all (system, code) anywhere in it, contained ones too; `marks`
    all that stands as a securityLabel.

    A label counts wherever it stands: on the resource, on something contained, as the securityLabel of a
    document. To say too much withholds a record, to say too little releases it.
    """
    found: set[str] = set()
    for named, code in codings:
        system = system_of(named)
        if system == CONFIDENTIALITY or (system == ACT_CODE and code in SENSITIVITY):
            found.add(f"{system}|{code}")
        found.update(f"{ACT_CODE}|{label}" for label in _sensitive(system, code))
    for mark in marks:
        found |= _labels_in(mark)
    for part in (resource, *resource.get("contained", ())):
        found |= declared(part)
    return tuple(sorted(found))


def declared(resource: Any) -> set[str]:
    """What a resource or a bundle, valid or not, says of itself in `meta.security` and `confidentiality`."""
    if type(resource) is not dict:
        return set()
    found: set[str] = set()
    meta = resource.get("meta")
    security = meta.get("security", ()) if type(meta) is dict else ()
    for mark in security if type(security) in (list, tuple) else (security,):
        found |= _labels_in(mark)
    if resource.get("resourceType") == "Composition":
        if type(resource.get("confidentiality")) is str:
            found.add(f"{CONFIDENTIALITY}|{resource['confidentiality']}")
        elif "confidentiality" in resource or "_confidentiality" in resource:
            found.add(RESTRICTED)
    return found


def _labels_in(mark: Any) -> set[str]:
    """Of a Coding or a CodeableConcept."""
    codings = mark.get("coding", (mark,)) if type(mark) is dict else (mark,)
    found = set()
    for coding in codings if type(codings) in (list, tuple) else (codings,):
        code = coding.get("code") if type(coding) is dict else None
        system = coding.get("system", "") if type(coding) is dict else ""
        found.add(f"{system_of(system)}|{code}" if type(code) is str and type(system) is str else RESTRICTED)
    return found


def system_of(name: str) -> str:
    """A code system by its one name: aliases, versions and national editions lead to it; others stay as they are."""
    return _known_system(name) if len(name) <= SYSTEM_CHARS_MAX else name


@functools.lru_cache(1_024)
def _known_system(name: str) -> str:
    bare = name.partition("|")[0].rstrip("/").lower()
    for scheme in ("https://", "http://", "urn:oid:"):
        bare = bare.removeprefix(scheme)
    if bare.startswith(("snomed.info/sct/", "snomed.info/xsct")):   # an edition, a version of it
        return SNOMED
    return ALIASES.get(bare) or (ICD_10_SYSTEM if _icd_10(bare) else name)


def _sensitive(system: str, code: str) -> tuple[str, ...]:
    if system == ICD_10_SYSTEM:
        bare = code.replace(".", "").upper()
        return tuple(label for label, prefixes in ICD_10.items() if bare.startswith(prefixes))
    return _BY_CODE.get((system, code), ())
