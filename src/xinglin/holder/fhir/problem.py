"""What is wrong with an input: where it is and why, never what it says of a person."""

from dataclasses import dataclass
from enum import IntEnum

from xinglin.holder.codes import HolderCode


class Severity(IntEnum):
    WARNING = 0   # imported as it is
    ERROR = 1     # this resource is not imported


@dataclass(frozen=True, slots=True)
class Problem:
    """One line of the import report. `detail` names forms and rules, never the value found."""

    code: HolderCode
    file: str = ""
    where: str = ""       # "entry 3", "line 17", or "" for a file of one resource
    resource: str = ""    # "Observation/abc", or the type alone, as the source names it
    element: str = ""     # a FHIRPath: "Observation.component[2].code"
    detail: str = ""
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        place = " ".join(part for part in (self.file, self.where, self.resource, self.element) if part)
        reason = f"{self.code.shown} {self.code.name}" + (f": {self.detail}" if self.detail else "")
        return f"{place}: {reason}" if place else reason
