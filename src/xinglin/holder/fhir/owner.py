"""Whose is a resource: a patient's, the directory's, or whoever it goes with.

Source  R4 CompartmentDefinition patient, its params read as elements, the one that says "about" first
"""

from collections.abc import Iterator
from typing import Any

# type -> the elements that name the patient whom it is about; one that merely wrote or received it is none
PATIENT_ELEMENTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((
        "AllergyIntolerance", "BodyStructure", "Claim", "ClaimResponse", "Consent", "CoverageEligibilityRequest",
        "CoverageEligibilityResponse", "DetectedIssue", "Device", "EpisodeOfCare", "ExplanationOfBenefit",
        "FamilyMemberHistory", "Immunization", "ImmunizationEvaluation", "ImmunizationRecommendation",
        "MolecularSequence", "NutritionOrder", "RelatedPerson", "SupplyDelivery", "VisionPrescription"), ("patient",)),
    **dict.fromkeys((
        "Account", "AdverseEvent", "Basic", "CarePlan", "CareTeam", "ChargeItem", "ClinicalImpression",
        "Communication", "CommunicationRequest", "Composition", "Condition", "Contract", "DeviceRequest",
        "DeviceUseStatement", "DiagnosticReport", "DocumentManifest", "DocumentReference", "Encounter", "Flag", "Goal",
        "GuidanceResponse", "ImagingStudy", "Invoice", "List", "MeasureReport", "Media", "MedicationAdministration",
        "MedicationDispense", "MedicationRequest", "MedicationStatement", "Observation", "Procedure",
        "QuestionnaireResponse", "RequestGroup", "RiskAssessment", "ServiceRequest", "Specimen"), ("subject",)),
    "Appointment": ("participant.actor",),
    "AppointmentResponse": ("actor",),
    "AuditEvent": ("agent.who", "entity.what"),
    "Coverage": ("beneficiary",),
    "EnrollmentRequest": ("candidate",),
    "Group": ("member.entity",),
    "Person": ("link.target",),
    "Provenance": ("target",),
    "ResearchSubject": ("individual",),
    "Schedule": ("actor",),
    "SupplyRequest": ("deliverTo",),
    "Task": ("for",),
}

# Of no patient: who gives care, where, with what, and by which definitions.
DIRECTORY = frozenset({
    "Organization", "OrganizationAffiliation", "Practitioner", "PractitionerRole", "Location", "HealthcareService",
    "Endpoint", "InsurancePlan", "ActivityDefinition", "CapabilityStatement", "ChargeItemDefinition", "CodeSystem",
    "CompartmentDefinition", "ConceptMap", "DeviceDefinition", "EventDefinition", "Evidence", "EvidenceVariable",
    "EffectEvidenceSynthesis", "ExampleScenario", "GraphDefinition", "ImplementationGuide", "Library", "Measure",
    "MedicationKnowledge", "MessageDefinition", "NamingSystem", "ObservationDefinition", "OperationDefinition",
    "PlanDefinition", "Questionnaire", "ResearchDefinition", "ResearchElementDefinition", "ResearchStudy",
    "RiskEvidenceSynthesis", "SearchParameter", "SpecimenDefinition", "StructureDefinition", "StructureMap",
    "TerminologyCapabilities", "TestScript", "ValueSet", "MedicinalProduct", "MedicinalProductAuthorization",
    "MedicinalProductContraindication", "MedicinalProductIndication", "MedicinalProductIngredient",
    "MedicinalProductInteraction", "MedicinalProductManufactured", "MedicinalProductPackaged",
    "MedicinalProductPharmaceutical", "MedicinalProductUndesirableEffect", "SubstanceNucleicAcid", "SubstancePolymer",
    "SubstanceProtein", "SubstanceReferenceInformation", "SubstanceSourceMaterial", "SubstanceSpecification",
    "CatalogEntry"})

# Goes with the one patient whose resources use it; used by several or by none it is a thing on a shelf.
SHARED = frozenset({"Medication", "Substance", "Device", "DeviceMetric", "Slot", "Schedule", "Group"})


# One element, one person: where it stands without naming anybody, nobody else may be guessed.
SINGLE = frozenset({"patient", "subject", "beneficiary", "candidate", "individual"})


def patient_references(resource: dict[str, Any]) -> list[str]:
    """The references that say whom the resource is about, whatever they refer to.

    A logical reference (identifier alone) comes as the conditional one it means; one that says nothing a
    machine can follow comes as "".
    """
    found: list[str] = []
    for path in PATIENT_ELEMENTS.get(resource["resourceType"], ()):
        values: list[Any] = [resource]
        for name in path.split("."):
            values = [part for value in values for part in _parts(value, name)]
        found += [_named(value) for value in values if "reference" in value or path in SINGLE]
    return found


def _named(reference: dict[str, Any]) -> str:
    if type(reference.get("reference")) is str:
        return str(reference["reference"])
    identifier = reference.get("identifier", {})
    if "value" in identifier and reference.get("type", "Patient") == "Patient":
        return f"Patient?identifier={identifier.get('system', '')}|{identifier['value']}"
    return ""


def _parts(value: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    part = value.get(name)
    for found in part if type(part) is list else (part,):
        if type(found) is dict:
            yield found
