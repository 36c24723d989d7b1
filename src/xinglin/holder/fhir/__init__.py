"""Reading FHIR R4 for import: folder -> sources -> checked -> a plan. Knows neither ledger nor vault."""

from xinglin.holder.fhir.card import Identifier, PatientCard
from xinglin.holder.fhir.head import Head
from xinglin.holder.fhir.held import Known
from xinglin.holder.fhir.plan import NOBODY, Batch, Plan, Planned, plan
from xinglin.holder.fhir.problem import Problem, Severity
from xinglin.holder.fhir.read import Source, read_bytes, read_file, read_folder
from xinglin.holder.fhir.sample import Addition, addition, read_sample, unpack_sample
from xinglin.holder.fhir.spread import spread
from xinglin.holder.fhir.validate import validate

__all__ = ["NOBODY", "Addition", "Batch", "Head", "Identifier", "Known", "PatientCard", "Plan", "Planned", "Problem",
           "Severity", "Source", "addition", "plan", "read_bytes", "read_file", "read_folder", "read_sample", "spread",
           "unpack_sample", "validate"]
