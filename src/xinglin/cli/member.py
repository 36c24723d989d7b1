"""`xinglin member`: the organisations of a network, their people, and votes about who belongs."""

from typing import Annotated, Any

import typer
from typer import Argument, Option

from xinglin import home_keys
from xinglin.base.check import NotFound
from xinglin.base.ids import MemberId
from xinglin.cli import choices, names, show
from xinglin.cli.call import Call
from xinglin.cli.codes import CliCode
from xinglin.cli.options import By
from xinglin.cli.show import Column, Time
from xinglin.client.client import Sent
from xinglin.home import Home, HomeCode, NewOrganisation
from xinglin.modules import members

app = typer.Typer(no_args_is_help=True)

Member = Annotated[str, Argument(metavar="MEMBER")]
KeyArgument = Annotated[str, Argument(metavar="KEY")]


MEMBERS = (Column("slug", "名称", "name"), Column("title", "机构", "organisation"), Column("kind", "类别", "kind"),
           Column("status", "状态", "status"), Column("since", "加入时间", "since"),
           Column("staff", "工作人员", "staff"), Column("member", "标识", "id"))
STAFF = (Column("slug", "名称", "name"), Column("person", "姓名", "person"), Column("role", "角色", "role"),
         Column("active", "在册", "active"), Column("account", "标识", "id"))
KEYS = (Column("key", "密钥", "key"), Column("suite", "套件", "suite"), Column("custody", "保管", "custody"),
        Column("ends", "停用于", "ends"))
MOTIONS = (Column("title", "机构", "organisation"), Column("motion", "动议", "motion"), Column("key", "密钥", "key"),
           Column("proposer", "提议者", "proposer"), Column("votes", "赞成", "votes"),
           Column("needed", "需要", "needed"), Column("voters", "已投票", "voted"), Column("member", "标识", "id"))


@app.command("list")
def list_(ctx: typer.Context) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        found = [_member(home, call.lang, key[0], row) for key, row in home.node.rows(members.MEMBERS)]
        show.rows(call, MEMBERS, sorted(found, key=lambda one: (one["since"], one["slug"])))


def _member(home: Home, lang: str, member: MemberId, row: members.MemberRow) -> dict[str, Any]:
    here = home.member_named(member)
    return {"slug": here.slug if here else "", "title": here.name(lang) if here else "", "kind": row.kind,
            "status": row.status, "since": Time(row.since_ms), "staff": len(home.staff(here)) if here else 0,
            "member": member}


@app.command("show")
def show_(ctx: typer.Context, member: Member) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        organisation = home.organisation(member)
        (_, row), = home.node.rows(members.MEMBERS, organisation.member)
        listed = dict(home.node.rows(members.STAFF))
        staff = [{"slug": one.slug, "person": one.name, "role": members.Role[one.role], "account": one.account,
                  "active": (one.account,) in listed and listed[one.account,].active}
                 for one in home.staff(organisation)]
        found = _member(home, call.lang, organisation.member, row)
        show.pages(call, MEMBERS, found, "people", STAFF, staff)


@app.command("enrol-staff")
def enrol_staff(ctx: typer.Context, organisation: Annotated[str, Argument(metavar="ORG")],
                slug: Annotated[str, Argument(metavar="SLUG")],
                name: Annotated[str, Option("--name", metavar="TEXT")],
                role: Annotated[str, Option("--role", metavar="ROLE")],
                no_passphrase: Annotated[bool, Option("--no-passphrase")] = False) -> None:
    call = Call.of(ctx)
    wanted = choices.role(role)
    with call.opened() as home:
        where = home.organisation(organisation)
        passphrase = None if no_passphrase else call.new_passphrase(where.folder / "staff" / f"{slug}.key")
        one = home.enrol_staff(where, slug, name, wanted, passphrase)
        if no_passphrase:
            call.warn(f"{one.key_file} 未加密：谁能读到它，谁就能签名", f"{one.key_file} is not encrypted: "
                      "whoever reads it can sign")
        show.one(call, STAFF, {"slug": one.slug, "person": one.name, "role": wanted, "account": one.account,
                               "active": True})


@app.command("end-staff")
def end_staff(ctx: typer.Context, person: Annotated[str, Argument(metavar="PERSON")]) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        staff = home.person(person)
        call.confirm(f"{staff.name} 将不能再签名。继续？", f"{staff.name} will not be able to sign any more. Go on?")
        home.end_staff(staff)
        call.say(f"{staff.name} 的账户已终止。", f"The account of {staff.name} is ended.")


@app.command("invite")
def invite(ctx: typer.Context, slug: Annotated[str, Argument(metavar="SLUG")], by: By,
           kind: Annotated[str, Option("--kind", metavar="KIND")],
           zh_name: Annotated[str, Option("--zh", metavar="TEXT")],
           en_name: Annotated[str, Option("--en", metavar="TEXT")]) -> None:
    call = Call.of(ctx)
    new = NewOrganisation(slug, zh_name, en_name, choices.kind(kind))
    with call.opened() as home:
        _told(call, home, home.invite(home.organisation(by), new))


@app.command("vote")
def vote(ctx: typer.Context, member: Member,
         motion: Annotated[str, Argument(metavar="MOTION")], by: By) -> None:
    call = Call.of(ctx)
    wanted = choices.motion(motion)
    with call.opened() as home:
        _told(call, home, home.vote(home.organisation(by), _named(home, member), wanted))


@app.command("suspend")
def suspend(ctx: typer.Context, member: Member, by: By) -> None:
    _propose(ctx, member, by, members.Motion.SUSPEND)


@app.command("reinstate")
def reinstate(ctx: typer.Context, member: Member, by: By) -> None:
    _propose(ctx, member, by, members.Motion.REINSTATE)


def _propose(ctx: typer.Context, member: str, by: str, motion: members.Motion) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        _told(call, home, home.propose(home.organisation(by), _named(home, member), motion))


def _named(home: Home, text: str) -> MemberId:
    """A name of the home, or an id: what is voted on may belong elsewhere."""
    try:
        return home.organisation(text).member
    except NotFound:
        if not names.HEX.issuperset(text.strip().lower()):
            raise
        return names.the_one(text, (key[0] for key, _ in home.node.rows(members.MEMBERS)),
                             HomeCode.ORGANISATION_NOT_FOUND)


def _told(call: Call, home: Home, sent: Sent) -> None:
    """What became of a motion."""
    event = sent.events[0]
    if not isinstance(event, members.Moved):
        return
    title = names.Directory(home, call.lang).member(event.member)
    if event.carried:
        call.say(f"已通过：{title}。", f"Carried: {title}.")
    else:
        call.say(f"动议进行中：{title}，{event.votes} 票。其他成员以 xinglin member vote 表决。",
                 f"The motion is open: {title}, {event.votes} votes. Others vote with xinglin member vote.")


@app.command("motions")
def motions(ctx: typer.Context) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        directory = names.Directory(home, call.lang)
        (((), tally),) = home.node.rows(members.TALLY)
        found = [(at[0], members.Motion(at[1]), b"", row) for at, row in home.node.rows(members.MOTIONS)]
        about_keys = [(at[0], row.motion, row.id, row) for at, row in home.node.rows(members.KEY_MOTIONS)]
        every = [*found, *about_keys]
        standing = home.node.read(lambda ctx: [members.standing(ctx, row) for *_, row in every])
        show.rows(call, MOTIONS, [
            {"title": directory.member(member), "motion": motion, "key": key,
             "proposer": directory.member(row.voters[0]), "votes": votes,
             "needed": 2 * tally.active // 3 + 1, "voters": [directory.member(one) for one in row.voters],
             "member": member}
            for (member, motion, key, row), votes in zip(every, standing, strict=True)])


# -- keys

@app.command("keys")
def keys(ctx: typer.Context, member: Member) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        show.rows(call, KEYS, [{"key": key.id, "suite": key.suite, "custody": key.custody,
                                "ends": Time(key.ends_ms) if key.ends_ms else None}
                               for key in home_keys.live_keys(home, _named(home, member))])


@app.command("replace-key")
def replace_key(ctx: typer.Context, member: Member, by: By) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        proposer = home.organisation(by)
        _told_key(call, home, home_keys.propose_replacement(home, proposer, home.organisation(member)))


@app.command("retire-key")
def retire_key(ctx: typer.Context, member: Member, key: KeyArgument, by: By) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        proposer, found = home.organisation(by), _named(home, member)
        wanted = names.the_one(key, [one.id for one in home_keys.live_keys(home, found)], CliCode.KEY_NOT_FOUND)
        _told_key(call, home, home_keys.propose_end(home, proposer, found, wanted))


@app.command("vote-key")
def vote_key(ctx: typer.Context, member: Member, key: KeyArgument, by: By,
             proposer: Annotated[str | None, Option("--proposer", metavar="ORG")] = None) -> None:
    call = Call.of(ctx)
    with call.opened() as home:
        voter, found = home.organisation(by), _named(home, member)
        only = None if proposer is None else _named(home, proposer)
        open_now = [(at[1], row) for at, row in home.node.rows(members.KEY_MOTIONS, found) if only in (None, at[1])]
        wanted = names.the_one(key, [row.id for _, row in open_now], CliCode.KEY_NOT_FOUND)
        # Of several about one key: one that this voter has not joined, and of those what most have.
        chosen = min([one for one in open_now if one[1].id == wanted],
                     key=lambda one: (voter.member in one[1].voters, -len(one[1].voters)))
        _told_key(call, home, home_keys.vote(home, voter, found, *chosen))


def _told_key(call: Call, home: Home, sent: Sent) -> None:
    event = sent.events[0]
    if not isinstance(event, members.KeyMoved):
        return
    title, key = names.Directory(home, call.lang).member(event.member), event.key.hex()[:8]
    if event.carried:
        call.say(f"已通过：{title} 的密钥 {key}。", f"Carried: key {key} of {title}.")
    else:
        call.say(f"动议进行中：{title} 的密钥 {key}，{event.votes} 票。其他成员以 xinglin member vote-key 表决。",
                 f"The motion is open: key {key} of {title}, {event.votes} votes. Others vote with "
                 "xinglin member vote-key.")
