"""`xinglin trace` and `xinglin verify`: outcomes, and files that stand without us."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from xinglin.base.check import NotFound
from xinglin.base.limits import PROOF_FILE_BYTES_MAX
from xinglin.base.units import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, MS_PER_SECOND
from xinglin.cli import cosigning, decoded, files, names, show
from xinglin.cli.call import Call, Output
from xinglin.cli.codes import CliCode, Usage
from xinglin.cli.options import Out, OutNeeded, PolicyFile
from xinglin.cli.show import Column, Time
from xinglin.cli.words import Lang, words_of
from xinglin.client import pins
from xinglin.client.verify import Verdict, same_rules, verify_file
from xinglin.engine.clock import SystemClock
from xinglin.kernel.outcome import Envelope
from xinglin.modules import module_set
from xinglin.node import NodeCode

OUTCOME = (Column("tx", "交易", "transaction"), Column("at", "时间", "at"), Column("outcome", "结果", "outcome"),
           Column("height", "高度", "height"), Column("index", "序号", "index"),
           Column("signers", "签名者", "signed by"), Column("messages", "消息", "messages"),
           Column("told", "内容", "what happened"), Column("file", "回执", "receipt"))


AGREEING = 2                       # witnesses, from whom on others than one pair stand behind a history


def trace(ctx: typer.Context, tx: Annotated[str, Argument(metavar="TX")], out: Out = None) -> None:
    call = Call.of(ctx)
    digits = names.tx_digits(tx)
    with call.opened() as home:
        file = home.node.receipt_at(*names.transaction(home, digits))
        verified = home.client.verify(file)
        named = _named(names.Directory(home, call.lang))
        envelope = verified.events[0]
        if not isinstance(envelope, Envelope) or not envelope.tx_id.hex().startswith(digits):
            raise NotFound(NodeCode.TX_NOT_FOUND, digits)      # the index looks at the first half of an id
        if out is not None:
            files.write(out, file, over=call.yes)
            call.hand_on(home, out, verified.signed)
        show.one(call, OUTCOME, {
            "tx": envelope.tx_id, "at": Time(verified.closing.time_ms),
            "outcome": _outcome(verified.leaf.code, call.lang), "code": verified.leaf.code,
            "height": verified.leaf.height, "index": verified.leaf.index,
            "signers": [named(one) for one in envelope.signers], "signer_ids": list(envelope.signers),
            "messages": list(envelope.tags),
            "told": [decoded.sentence(event, call.lang, named) for event in verified.events[1:]],
            "events": [decoded.fields(event) for event in verified.events[1:]],
            "file": str(out) if out else None})


def _named(directory: names.Directory) -> decoded.Named:
    """The whole id, behind the name of who is known here."""
    def named(some: bytes) -> str:
        known = directory.known(some)
        return some.hex() if known == f"{some.hex()[:8]}.." else f"{known} ({some.hex()})"
    return named


def receipt(ctx: typer.Context, tx: Annotated[str, Argument(metavar="TX")], out: OutNeeded,
            cose: Annotated[bool, Option("--cose")] = False, policy: PolicyFile = None) -> None:
    call = Call.of(ctx)
    if cose and policy is not None:
        raise Usage(CliCode.SAY_WHICH, "--cose | --policy FILE")
    said = cosigning.policy_in(policy)
    digits = names.tx_digits(tx)
    with call.opened() as home:
        place = names.transaction(home, digits)
        if cose:
            file = home.node.cose_receipt_at(*place)
        else:
            file = home.node.receipt_at(*place) if said is None else home.node.cosigned_receipt_at(*place, said)
        verdict = verify_file(file, home.network, home.node.modules, said or home.policy)
        if not verdict.facts.get("tx", "").startswith(digits):
            raise NotFound(NodeCode.TX_NOT_FOUND, digits)
        files.write(out, file, over=call.yes)
        call.hand_on(home, out, verdict.signed, policy)


def _outcome(code: int, lang: Lang) -> str:
    words = words_of(code, lang)
    if words is None:
        return f"XL-{code:04d}"
    return f"{words.shown} {words.name}" + ("：" if lang == "zh" else ": ") + words.what


def verify(ctx: typer.Context, file: Annotated[Path, Argument(metavar="FILE")],
           network: Annotated[str | None, Option("--network", metavar="ID")] = None, policy: PolicyFile = None) -> None:
    call = Call.of(ctx)
    said = cosigning.policy_in(policy)
    trusted = [names.network(network)] if network else list(pins.read(pins.config_folder()).values())
    modules = module_set()
    verdict = pins.verify(files.read(file, PROOF_FILE_BYTES_MAX), trusted, modules, said, pins.config_folder())
    if not same_rules(verdict.network, modules):
        call.warn("该网络的规则版本与本程序不同；密码学证明成立，但下面的文字可能不符合该网络的含义",
                  "the network runs other rules than this program; the proof holds, but what is said of it below may "
                  "not be what it means there")
    if call.output is Output.JSON:
        show.as_json({
            "verified": True, "kind": verdict.kind, "network": verdict.network.id, "chain": verdict.network.chain,
            "simulated": verdict.network.manifest.simulated, "signed_by": list(verdict.signed_by),
            "single_operator": verdict.single_operator,
            "cosigned_by": [one.name for one in verdict.signed.cosigned_by], "witnesses": verdict.signed.witnesses,
            "same_rules": same_rules(verdict.network, modules), "time": Time(verdict.time_ms),
            "facts": verdict.facts, "events": [decoded.fields(event) for event in verdict.events]})
    else:
        show.lines(call, _told(verdict, "zh"), _told(verdict, "en"))


def _told(verdict: Verdict, lang: Lang) -> list[str]:
    """The verdict, what it proves, what it does not."""
    zh = lang == "zh"
    chain = verdict.network.chain
    kinds = {"receipt": ("回执", "receipt"), "cose-receipt": ("COSE 回执", "COSE receipt"),
             "state-proof": ("状态证明", "state proof"),
             "completeness": ("完整的访问记录", "complete access log")}
    kind = kinds[verdict.kind][0 if zh else 1]
    head = f"✓ 已验证：{kind}，网络 {chain}" if zh else f"✓ Verified: a {kind} of network {chain}"
    tell = {"state-proof": _state, "completeness": _completeness}.get(verdict.kind, _receipt)
    proves, limits = tell(verdict, lang)
    limits = [*limits, *_always(verdict, lang)]
    proves = [*proves, *_cosigned(verdict, lang)]
    return [head, "证明了：" if zh else "It proves:", *(f"  · {line}" for line in proves),
            "不能证明：" if zh else "It does not prove:", *(f"  · {line}" for line in limits)]


def _receipt(verdict: Verdict, lang: Lang) -> tuple[list[str], list[str]]:
    facts = verdict.facts
    outcome = _outcome(facts["code"], lang)
    events = [decoded.sentence(event, lang, decoded.whole) for event in verdict.events]
    when = Time(verdict.time_ms).iso()
    if "timer" in facts:
        due = Time(facts["due_ms"]).iso()
        first = (f"定时事项 {facts['timer']}（应于 {due}）于 {when} 记在高度 {facts['height']} 第 {facts['index']} 位"
                 if lang == "zh" else f"a timer of {facts['timer']}, due {due}, ran on {when} as entry "
                 f"{facts['index']} at height {facts['height']}")
    else:
        first = (f"交易 {facts['tx']} 于 {when} 在高度 {facts['height']} 第 {facts['index']} 位执行，结果：{outcome}"
                 if lang == "zh" else f"transaction {facts['tx']} was executed on {when} as entry {facts['index']} "
                 f"at height {facts['height']}: {outcome}")
        events.append(_signed(verdict, list(zip(facts["signers"], facts["custody"], strict=True)), lang))
    limit = ("之后没有再发生变化（例如授权后来被撤回）" if lang == "zh" else
             "that nothing changed later (a consent may have been taken back since)")
    return [first, *events], [limit, *(() if "timer" in facts else [_stated(verdict, lang)])]


def _signed(verdict: Verdict, accounts: list[tuple[str, str]], lang: Lang) -> str:
    """The accounts' own signatures are not in the file: that they signed is what the checkpoint's signer states."""
    names = ", ".join(verdict.signed_by)
    if lang == "zh":
        said = [f"{one}（{show.NAMES_ZH[custody]}）" for one, custody in accounts]
        return f"据 {names} 所述，签名账户（密钥保管）：" + "、".join(said)
    said = [f"{one} ({custody.lower()})" for one, custody in accounts]
    return f"as {names} states, signed by accounts (key custody): " + ", ".join(said)


def _stated(verdict: Verdict, lang: Lang) -> str:
    names = ", ".join(verdict.signed_by)
    return (f"这些账户亲自签了名：文件里没有它们的签名，这是 {names} 以检查点密钥所作的陈述" if lang == "zh" else
            f"that these accounts signed: their signatures are not in the file; it is what {names} states, with its "
            "checkpoint key")


def _state(verdict: Verdict, lang: Lang) -> tuple[list[str], list[str]]:
    facts, zh = verdict.facts, lang == "zh"
    when, age = Time(verdict.time_ms).iso(), _age(verdict, lang)
    if "live_grants" in facts:
        subject, grantee, live = facts["subject"], facts["grantee"], facts["live_grants"]
        said = ((f"主体 {subject} 对成员 {grantee} 没有有效授权" if zh else
                 f"subject {subject} has no consent to member {grantee}") if not live else
                (f"主体 {subject} 对成员 {grantee} 有 {live} 项授权，未撤回也未到期" if zh else
                 f"subject {subject} has consents to member {grantee} that are neither taken back nor run out: {live}"))
    else:
        key = " ".join(map(str, facts["key"]))
        said = ((f"表 {facts['table']} 中有 {key} 这一行" if zh else f"table {facts['table']} has a row {key}")
                if facts["present"] else
                (f"表 {facts['table']} 中没有 {key} 这一行" if zh else f"table {facts['table']} has no row {key}"))
    proves = f"{when}（高度 {facts['height']}{age}）：{said}" if zh else \
        f"at {when} (height {facts['height']}{age}): {said}"
    later = "此后仍然如此" if zh else "that it is still so after that"
    if "live_grants" not in facts:
        return [proves], [later]
    # Two ids in each other's places prove as truly that there is no consent: of something that is nobody's.
    who = [f"主体（谁的病历）：{facts['subject']}", f"成员（谁来查看）：{facts['grantee']}"] if zh else [
        f"subject (whose records): {facts['subject']}", f"member (who would see them): {facts['grantee']}"]
    active = [] if not facts["live_grants"] else [
        "该成员当时没有被暂停：暂停期间，给它的授权都不生效" if zh else
        "that the member was active: while it is suspended, no consent to it counts"]
    return [proves, *who], [later, *active, "这两个标识正是您所指的人和机构：请逐一核对" if zh else
                            "that these two ids are the person and the organisation you mean: compare both"]


def _completeness(verdict: Verdict, lang: Lang) -> tuple[list[str], list[str]]:
    facts, zh = verdict.facts, lang == "zh"
    when, age = Time(verdict.time_ms).iso(), _age(verdict, lang)
    first = (f"到 {when}（高度 {facts['height']}{age}）为止，关于主体 {facts['subject']} 的全部 {facts['entries']} 条"
             "都在这里" if zh else f"these {facts['entries']} entries are all that was ordered about subject "
             f"{facts['subject']} until {when} (height {facts['height']}{age})")
    events = [decoded.sentence(event, lang, decoded.whole) for event in verdict.events]
    limit = "没有人在系统之外抄录副本" if zh else "that nobody made copies outside the system"
    return [first, *events], [limit]


def _cosigned(verdict: Verdict, lang: Lang) -> list[str]:
    """What witnesses state: each has seen one history grow, until it signed. Of others, that is all the file shows."""
    signed = verdict.signed
    if not signed.by_quorum:
        return []
    names = ", ".join(one.name for one in signed.cosigned_by)
    count, last = len(signed.cosigned_by), Time(max([one.time_s for one in signed.cosigned_by]) * MS_PER_SECOND).iso()
    if lang == "zh":
        each = "该见证者声明" if count == 1 else f"这 {count} 个见证者各自声明"
        return [f"{signed.witnesses} 个见证者中有 {count} 个联署（{names}，最近于 {last}）："
                f"{each}，到此为止只见过这一部历史，且只增不改"]
    each = "it states" if count == 1 else "each of these states"
    return [f"cosigned by {count} of {signed.witnesses} witnesses ({names}; last on {last}): {each} that it has seen "
            "this one history alone, which only grew, up to here"]


def _always(verdict: Verdict, lang: Lang) -> list[str]:
    zh = lang == "zh"
    found = []
    if verdict.single_operator:
        name = ", ".join(verdict.signed_by)
        found.append(f"其他成员也同意：只有运营者 {name} 签署（single-operator）；"
                     "它不能暗中改写已签署的内容，但可能停止服务" if zh else
                     f"that other members agree: only the operator, {name}, has signed (single-operator); it cannot "
                     "alter what it signed unseen, but it could stop")
    elif verdict.signed.by_quorum and len(verdict.signed.cosigned_by) < AGREEING:
        name, witness = verdict.signed_by[0], verdict.signed.cosigned_by[0].name
        found.append(f"其他成员也同意：除运营者 {name} 外，只有见证者 {witness} 签署；"
                     "二者合谋，可以向别人出示另一部历史" if zh else
                     f"that other members agree: besides the operator, {name}, one witness alone has signed, {witness};"
                     " the two together could show another history to others")
    if verdict.network.manifest.simulated:
        found.append("真实的时间：这个网络使用模拟时钟" if zh else "real time: this network runs on a simulated clock")
    found.append("承诺值背后的内容真实：文件里没有任何医疗内容" if zh else
                 "that what lies behind a commitment is true: no medical content is in the file")
    return found


def _age(verdict: Verdict, lang: Lang) -> str:
    """How old the proved state is; nothing where the network's clock is not ours."""
    if verdict.network.manifest.simulated:
        return ""
    age_ms = max(0, SystemClock().now_ms() - verdict.time_ms)
    for unit_ms, zh, en in ((MS_PER_DAY, "天", "days"), (MS_PER_HOUR, "小时", "hours"),
                            (MS_PER_MINUTE, "分钟", "minutes"), (MS_PER_SECOND, "秒", "seconds")):
        if age_ms >= unit_ms:
            count = age_ms // unit_ms
            return f"，{count} {zh}前" if lang == "zh" else f", {count} {en} old"
    return ""


__all__ = ["receipt", "trace", "verify"]
