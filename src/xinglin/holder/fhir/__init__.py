"""Reading FHIR R4 for import: folder -> sources -> checked -> a plan. Knows neither ledger nor vault."""

from xinglin.holder.fhir.head import Head
from xinglin.holder.fhir.plan import Batch, Known, Plan, Planned, plan
from xinglin.holder.fhir.problem import Problem, Severity
from xinglin.holder.fhir.read import Source, read_bytes, read_file, read_folder
from xinglin.holder.fhir.sample import Addition, addition, read_sample, unpack_sample
from xinglin.holder.fhir.validate import validate

__all__ = ["Addition", "Batch", "Head", "Known", "Plan", "Planned", "Problem", "Severity", "Source", "addition", "plan",
           "read_bytes", "read_file", "read_folder", "read_sample", "unpack_sample", "validate"]
