"""Who may do what, once more: written from docs/modules, docs/spec/transaction.md and the words of the domain alone.

It imports nothing of the ledger. What it does not name, nobody may. `answer` says one of four words:

  never    it is no transaction, and leaves nothing behind
  refused  it is executed and refused: a leaf, a charge, and nothing else
  noted    (a request) it has a number in the patient's list, and was denied at once
  done     it takes effect; a request is owed an answer
"""

from dataclasses import dataclass
from typing import Literal

Answer = Literal["never", "refused", "noted", "done"]
Kind = Literal["member", "staff", "service", "subject", "nobody"]


@dataclass(frozen=True)
class Person:
    """Who tries it, and by which key."""

    kind: Kind
    member: str = ""               # whose staff or service; at which holder, for a patient; itself, for a member
    key: Literal["live", "ended", "none"] = "live"
    account: str = ""


@dataclass(frozen=True)
class Facts:
    """What the state says about the things that the messages are about."""

    suspended: frozenset[str] = frozenset({"S"})
    grant: Literal["none", "live", "revoked", "over"] = "none"      # mei's to B, called g1
    request: Literal["none", "open", "closed"] = "none"             # B.physician's about mei: number 1
    reader_there: bool = True                                       # B.physician is still on the staff
    wang_claimed: bool = False
    batches: int = 0                                                # of mei's records
    extra_ended: bool = False                                       # A.extra, a nurse
    invited: bool = False                                           # E, by A
    against_c: bool = False                                         # A moved to suspend C
    key_for_c: bool = False                                         # A moved to give C another key
    c_has_two_keys: bool = False                                    # an old one, valid for a while


def answer(who: Person, message: str, facts: Facts) -> Answer:
    """What must come of `message`, said by `who` in her own name."""
    if who.kind == "nobody" or who.key != "live" or (who.account == "B.physician" and not facts.reader_there):
        return "never"
    # Nobody is needed to take consent back or to get away from a stolen key; all else has a payer, who is active.
    unpaid = who.kind == "subject" and message.split()[0] in ("consent.revoke", "subjects.rotate_key")
    if not unpaid and who.member in facts.suspended:
        return "never"
    if message == "access.request":
        if who.kind != "staff":
            return "refused"
        return "done" if who.member == "B" and facts.grant == "live" else "noted"
    return "done" if _permitted(who, message, facts) else "refused"


def _permitted(who: Person, message: str, facts: Facts) -> bool:
    member = who.kind == "member"                  # an active one: who is suspended or invited came no further
    service = who.kind == "service"
    of_a = service and who.member == "A"
    match message:
        case "members.invite":
            return member and not facts.invited
        case "members.propose suspend C":
            return member and not facts.against_c and "C" not in facts.suspended
        case "members.vote suspend C":
            return member and facts.against_c and who.account != "A"
        case "members.vote admit E":
            return member and facts.invited and who.account != "A"
        case "members.enrol_staff" | "members.enrol_service":
            return member
        case "members.end_staff A.extra":
            return member and who.account == "A" and not facts.extra_ended
        case "members.rotate_key":
            return who.kind in ("member", "staff", "service")
        case "members.replace_key C":
            return member
        case "members.retire_key C":
            return member and facts.c_has_two_keys
        case "members.vote_key C":
            return member and facts.key_for_c and who.account != "A"
        case "subjects.register":
            return service
        case "subjects.claim wang":
            return of_a and not facts.wang_claimed
        case "subjects.rotate_key":
            return who.kind == "subject"
        case "consent.grant g1 to B":
            mine_is_there = who.account == "mei" and facts.grant != "none"
            return who.kind == "subject" and "B" not in facts.suspended and not mine_is_there
        case "consent.revoke g1 of B":
            return who.account == "mei" and facts.grant == "live"
        case "records.batch 1 of mei":
            return of_a and facts.batches == 0
        case "access.answer permit":
            live = facts.grant == "live" and "B" not in facts.suspended and facts.reader_there
            return of_a and facts.request == "open" and live
        case "access.answer deny":
            return of_a and facts.request == "open"
        case "access.anchor":
            return service
    return False
