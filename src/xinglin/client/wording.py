"""A consent in words: what its holder, grantee and patient read, in Chinese and English.

Source  HL7 v3-ActReason (PurposeOfUse), v3-ActCode (sensitivity), v3-Confidentiality; FHIR R4 resource types
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from xinglin.modules.decision import ACT_CODE, RESTRICTED, ScopeItem
from xinglin.modules.members import Role


class Said(NamedTuple):
    zh: str
    en: str

    def in_(self, lang: str) -> str:
        return self.zh if lang == "zh" else self.en


PURPOSES: Mapping[str, Said] = {
    "TREAT": Said("治疗", "treatment"),
    "ETREAT": Said("急救", "emergency treatment"),
    "CAREMGT": Said("照护管理", "care management"),
    "COC": Said("连续照护", "coordination of care"),
    "PATRQT": Said("患者本人要求", "the patient's own request"),
    "FAMRQT": Said("家属要求", "the family's request"),
    "HPAYMT": Said("医疗支付", "healthcare payment"),
    "COVERAGE": Said("保障核定", "coverage"),
    "HOPERAT": Said("医疗运营", "healthcare operations"),
    "HQUALIMP": Said("质量改进", "quality improvement"),
    "HLEGAL": Said("法律事务", "legal matters"),
    "HRESCH": Said("医学研究", "healthcare research"),
    "CLINTRCH": Said("临床试验", "a clinical trial"),
    "PUBHLTH": Said("公共卫生", "public health"),
    "PATSFTY": Said("患者安全", "patient safety"),
}

CLASSES: Mapping[str, Said] = {
    "laboratory": Said("化验结果", "laboratory results"),
    "medications": Said("用药", "medications"),
    "AllergyIntolerance": Said("过敏", "allergies"),
    "CarePlan": Said("照护计划", "care plans"),
    "Claim": Said("理赔申请", "claims"),
    "Condition": Said("诊断", "diagnoses"),
    "Device": Said("器械", "devices"),
    "DiagnosticReport": Said("检查报告", "diagnostic reports"),
    "DocumentReference": Said("病历文书", "documents"),
    "Encounter": Said("就诊", "visits"),
    "ExplanationOfBenefit": Said("理赔结算", "statements of benefits"),
    "ImagingStudy": Said("影像检查", "imaging studies"),
    "Immunization": Said("疫苗接种", "vaccinations"),
    "MedicationRequest": Said("处方", "prescriptions"),
    "Observation": Said("检验和观察", "observations"),
    "Patient": Said("个人基本信息", "personal details"),
    "Procedure": Said("手术和操作", "procedures"),
}

CATEGORIES: Mapping[str, Said] = {         # of observations, by FHIR's codes
    "activity": Said("活动", "activity"),
    "exam": Said("体格检查", "examinations"),
    "imaging": Said("影像", "imaging"),
    "laboratory": Said("化验", "laboratory"),
    "procedure": Said("操作", "procedures"),
    "social-history": Said("社会史", "social history"),
    "survey": Said("量表", "surveys"),
    "therapy": Said("治疗", "therapy"),
    "vital-signs": Said("生命体征", "vital signs"),
}

LABELS: Mapping[str, Said] = {
    "PSY": Said("精神科", "psychiatry"),
    "MH": Said("心理健康", "mental health"),
    "BH": Said("行为健康", "behavioural health"),
    "SUD": Said("成瘾", "substance use"),
    "HIV": Said("艾滋病", "HIV"),
    "STD": Said("性传播疾病", "sexually transmitted disease"),
    "SEX": Said("性与生殖健康", "sexual and reproductive health"),
    "SDV": Said("性侵和家庭暴力", "sexual assault and domestic violence"),
    "SCA": Said("镰状细胞病", "sickle cell disease"),
    "GDIS": Said("遗传病", "genetic disease"),
    "R": Said("限制查阅但未说明原因", "restricted without a reason given"),
}

ROLES: Mapping[Role, Said] = {
    Role.PHYSICIAN: Said("医生", "physicians"),
    Role.NURSE: Said("护士", "nurses"),
    Role.PHARMACIST: Said("药师", "pharmacists"),
    Role.PSYCHIATRIST: Said("精神科医生", "psychiatrists"),
    Role.CLAIMS_OFFICER: Said("理赔员", "claims officers"),
    Role.AUDITOR: Said("审计员", "auditors"),
    Role.RESEARCHER: Said("研究员", "researchers"),
}


class Terms(NamedTuple):
    """What a consent says, before it has a nonce and an id."""

    grantee: str                   # names
    holder: str
    person: str                    # "" for anyone in `roles`
    roles: Sequence[Role]
    scope: Sequence[ScopeItem]
    purposes: Sequence[str]
    labels: Sequence[str]          # "system|code"
    until_ms: int


def labels_named(shorthand: str) -> tuple[str, ...]:
    """A sensitivity as decisions name it: PSY opens what is labelled PSY; R what is restricted and says not why."""
    return (RESTRICTED if shorthand == "R" else f"{ACT_CODE}|{shorthand}",)


def sentence(terms: Terms, lang: str) -> str:
    """The one sentence that she reads before she signs, and that the grant commits to."""
    what = scope_words(terms.scope, lang)
    why = purpose_words(terms.purposes, lang)
    who = terms.person or _and([ROLES[role].in_(lang) for role in terms.roles], lang)
    until = datetime.fromtimestamp(terms.until_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    sensitive = label_words(terms.labels, lang)
    if lang == "zh":
        also = f"其中包括标为敏感的内容（{sensitive}）。" if sensitive else "标为敏感的内容不在其内。"
        return (f"我允许{terms.grantee}（{who or '其任何工作人员'}）为{why}查看我在{terms.holder}的{what}，"
                f"有效期至 {until}。{also}我可以随时撤回。")
    also = f"This includes what is marked sensitive ({sensitive})." if sensitive else \
        "What is marked sensitive is left out."
    return (f"I permit {terms.grantee} ({who or 'anyone of its staff'}) to see my {what} held at {terms.holder}, "
            f"for {why}, until {until}. {also} I can take this back at any time.")


def scope_words(scope: Sequence[ScopeItem], lang: str) -> str:
    return _and([_item(one, lang) for one in scope], lang)


def purpose_words(purposes: Sequence[str], lang: str) -> str:
    return _and([PURPOSES[one].in_(lang) if one in PURPOSES else one for one in purposes], lang)


def label_words(labels: Sequence[str], lang: str) -> str:
    codes = [one.rpartition("|")[2] for one in labels]
    return _and([LABELS[code].in_(lang) if code in LABELS else code for code in codes], lang)


def _item(item: ScopeItem, lang: str) -> str:
    kind, _, finer = item.data_class.partition("/")
    name = CLASSES[kind].in_(lang) if kind in CLASSES else kind
    finer = CATEGORIES[finer].in_(lang) if finer in CATEGORIES else finer
    within = (f"（{finer}）" if lang == "zh" else f" ({finer})") if finer else ""
    return name + within + (f" [{item.id[:8]}]" if item.id else "")


def _and(words: Sequence[str], lang: str) -> str:
    if lang == "zh":
        return "、".join(words)
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


__all__ = ["CLASSES", "LABELS", "PURPOSES", "RESTRICTED", "ROLES", "Said", "Terms", "label_words",
           "labels_named", "purpose_words", "scope_words", "sentence"]
