"""From what people type to ids: whole ids, beginnings of ids, labels, names of organisations and people."""

from collections.abc import Iterable, Mapping, Sequence

from xinglin.base.check import Code, NotFound
from xinglin.base.ids import AccountId, GrantId, MemberId, SubjectId
from xinglin.cli.codes import CliCode, Usage
from xinglin.client import pins
from xinglin.client.codes import ClientCode
from xinglin.client.wallet import GrantMade, Wallet, WalletSubject
from xinglin.home import Home, HomeCode, Staff
from xinglin.modules import consent, subjects
from xinglin.node import NodeCode

ID_DIGITS = 32
HASH_DIGITS = 64
TX_DIGITS_MIN = 8                  # as a table prints an id: two in a million transactions begin alike by chance
HEX = frozenset("0123456789abcdef")


def whole_id(text: str) -> bytes | None:
    """The 16 bytes that 32 hex digits are; None of anything else."""
    return bytes.fromhex(text) if len(text) == ID_DIGITS and HEX.issuperset(text) else None


def hash_of(text: str) -> bytes:
    """A transaction or network id. Errors  Usage HASH_NOT_UNDERSTOOD."""
    low = text.strip().lower()
    if len(low) != HASH_DIGITS or not HEX.issuperset(low):
        raise Usage(CliCode.HASH_NOT_UNDERSTOOD, text)
    return bytes.fromhex(low)


def tx_digits(text: str) -> str:
    """A transaction's id or its beginning. Errors  Usage HASH_NOT_UNDERSTOOD."""
    low = text.strip().lower().removesuffix("..")
    if not TX_DIGITS_MIN <= len(low) <= HASH_DIGITS or not HEX.issuperset(low):
        raise Usage(CliCode.HASH_NOT_UNDERSTOOD, text)
    return low


def transaction(home: Home, digits: str) -> tuple[int, int]:
    """(height, index) of the executed transaction whose id begins so.

    Errors  NotFound TX_NOT_FOUND; Usage ID_AMBIGUOUS.
    """
    found = home.node.ask(lambda ledger: ledger.find_prefix(digits, 2))
    if not found:
        raise NotFound(NodeCode.TX_NOT_FOUND, digits)
    if len(found) > 1:
        raise Usage(CliCode.ID_AMBIGUOUS, f"{digits}..")
    return found[0]


def network(text: str) -> bytes:
    """A whole network id; in short only where it cannot mislead: the chain's name, or the beginning of the id, of
    one network that this user trusts already.

    Errors  Usage HASH_NOT_UNDERSTOOD, NETWORK_ID_NEEDED, ID_AMBIGUOUS; NotUnderstood PIN_NOT_UNDERSTOOD.
    """
    low = text.strip().lower().removesuffix("..")
    if len(low) == HASH_DIGITS and HEX.issuperset(low):
        return bytes.fromhex(low)
    found = {one for chain, one in pins.read(pins.config_folder()).items()
             if low == chain or (len(low) >= TX_DIGITS_MIN and one.hex().startswith(low))}
    if len(found) > 1:
        raise Usage(CliCode.ID_AMBIGUOUS, f"{low}: {len(found)}")
    if found:
        return found.pop()
    if _is_short_form(low):
        raise Usage(CliCode.NETWORK_ID_NEEDED, text)
    raise Usage(CliCode.HASH_NOT_UNDERSTOOD, text)


def _is_short_form(low: str) -> bool:
    """A chain's name, or the beginning of an id."""
    return TX_DIGITS_MIN <= len(low) < HASH_DIGITS and HEX.issuperset(low.rpartition("-")[2])


def the_one(text: str, candidates: Iterable[bytes], missing: Code) -> bytes:
    """The candidate that begins with `text`.

    Errors  Usage NOT_AN_ID, ID_AMBIGUOUS; NotFound with `missing`.
    """
    low = text.strip().lower().removesuffix("..")
    if not low or not HEX.issuperset(low):
        raise Usage(CliCode.NOT_AN_ID, text)
    found = {one for one in candidates if one.hex().startswith(low)}
    if not found:
        raise NotFound(missing, text)
    if len(found) > 1:
        raise Usage(CliCode.ID_AMBIGUOUS, f"{text}: {len(found)}")
    return found.pop()


def subject(home: Home, text: str) -> SubjectId:
    """A subject on the ledger. Errors  as `the_one`, with SUBJECT_NOT_FOUND."""
    whole = whole_id(text.strip().lower())
    if whole is not None:
        if not home.node.rows(subjects.SUBJECTS, whole):
            raise NotFound(HomeCode.SUBJECT_NOT_FOUND, text)
        return whole
    return the_one(text, (key[0] for key, _ in home.node.rows(subjects.SUBJECTS)), HomeCode.SUBJECT_NOT_FOUND)


def own_subjects(home: Home, wallet: Wallet) -> list[WalletSubject]:
    """Of this network."""
    return [one for one in wallet.subjects if one.network == home.network]


def own_subject(home: Home, wallet: Wallet, text: str | None) -> SubjectId:
    """A subject of the wallet, by id or label; the only one when nothing is said.

    Errors  Usage SAY_WHICH; as `the_one`, with SUBJECT_NOT_IN_WALLET.
    """
    own = own_subjects(home, wallet)
    if not own:
        raise NotFound(ClientCode.SUBJECT_NOT_IN_WALLET, "this wallet has no subject yet: xinglin subject claim")
    if text is None:
        if len(own) != 1:
            raise Usage(CliCode.SAY_WHICH, "--subject " + " | ".join(_called(one, own) for one in own))
        return own[0].subject
    labelled = [one.subject for one in own if one.label == text]
    if len(labelled) == 1:
        return labelled[0]
    return the_one(text, (one.subject for one in own), ClientCode.SUBJECT_NOT_IN_WALLET)


def _called(one: WalletSubject, own: Sequence[WalletSubject]) -> str:
    """Its label where that names it alone, else its id."""
    alone = one.label and sum(other.label == one.label for other in own) == 1
    return one.label if alone else one.subject.hex()


NOT_IN_WALLET = b""                # the terms of a grant that the wallet does not know: no body is empty


def own_grants(home: Home, wallet: Wallet) -> list[GrantMade]:
    """What the wallet gave, and what the ledger has of its subjects beside: a restored wallet knows no grant."""
    known = [one for one in wallet.grants if one.network == home.network]
    ids = {one.grant_id for one in known}
    own = [one.subject for one in wallet.subjects if one.network == home.network]
    return known + [
        GrantMade(network=home.network, subject=subject, grantee=key[1], grant_id=given.grant_id, body=NOT_IN_WALLET,
                  nonce=bytes(32))
        for subject in own for key, row in home.node.rows(consent.GRANTS, subject)
        for given in row.grants if given.grant_id not in ids]


def own_grant(home: Home, wallet: Wallet, text: str) -> GrantMade:
    """Errors  as `the_one`, with GRANT_NOT_IN_WALLET."""
    made: dict[GrantId, GrantMade] = {one.grant_id: one for one in own_grants(home, wallet)}
    return made[the_one(text, made, ClientCode.GRANT_NOT_IN_WALLET)]


class Directory:
    """Names for the ids of a home, each looked up once."""

    def __init__(self, home: Home, lang: str):
        self._members: Mapping[MemberId, str] = {
            one.member: one.name(lang) for one in home.organisations()}
        self._people: Mapping[AccountId, Staff] = {
            person.account: person for one in home.organisations() for person in home.staff(one)}

    def member(self, member: MemberId) -> str:
        """The name, or the id's beginning of an organisation that is not of this home."""
        return self._members.get(member) or f"{member.hex()[:8]}.."

    def person(self, account: AccountId) -> str:
        found = self._people.get(account)
        return found.name if found else f"{account.hex()[:8]}.."

    def known(self, some: bytes) -> str:
        """Any id: the name of an organisation or person of this home, else its beginning."""
        person = self._people.get(some)
        return self._members.get(some) or (person.name if person else f"{some.hex()[:8]}..")
