"""The demo: a network of five organisations in one home, and the story that shows what it promises."""

import itertools
import json
import os
import shlex
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from xinglin.client import pins
from xinglin.demo.cast import DOCTOR, HARBOUR, INSURER, PASSPHRASE, STEPS, WALLET, XINGLIN
from xinglin.demo.story import Step, Story, found, play

NOTES = "demo.json"                # in the home: what the commands by hand need to know
UNFINISHED = "demo.unfinished"     # in the home until every step held
SHORT_ID = 8                       # hex digits: enough to tell a demo's few subjects apart


def run(home: Path | None, data: Path | None, *, check: bool, as_json: bool, lang: str) -> int:
    """Play the story; with `check` in a temporary home unless one is named. 0 only if every step held.

    A home that has a demo already is left as it is, and told about; one that was interrupted is put aside.
    Errors  Failed HOME_NOT_EMPTY, when a check or another ledger is to go where one is.
    """
    if home is not None and (home / NOTES).exists() and not check and not as_json:
        _print(_kept(home, lang) + by_hand(home, lang))
        return 0
    if home is not None:
        if (home / UNFINISHED).exists():
            aside = _free_beside(home)     # nothing of it is deleted: it may have been used since
            home.rename(aside)
            print(_put_aside(aside, lang), file=sys.stderr, flush=True)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not any(home.iterdir()):
            (home / UNFINISHED).touch()
    started = time.monotonic()
    with ExitStack() as stack:
        path = home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xinglin-demo-")))
        story = found(path, data, time.time_ns() // 1_000_000, lang=lang)
        stack.callback(story.home.close)
        if not as_json:
            _print(_intro(story, lang))
        held = play(story, lambda step: None if as_json else _print(_told(step, lang)))
        seconds = time.monotonic() - started
        transactions = sum(count for _, _, count in story.home.node.blocks())
        if as_json:
            _print(json.dumps({
                "patients": story.patients, "resources": story.resources, "transactions": transactions,
                "seconds": round(seconds, 2), "steps": [_row(step, lang) for step in story.steps]},
                ensure_ascii=False))
        else:
            _print(_end(story, held, transactions, seconds, lang))
        if held and home is not None:
            _note(story)
            (home / UNFINISHED).unlink(missing_ok=True)
            pins.write(pins.config_folder(), story.home.node.chain, story.home.network)
            if not as_json:
                _print(by_hand(home, lang))
    return 0 if held else 1


def _row(step: Step, lang: str) -> dict[str, object]:
    return {"name": step.name, "ok": step.ok, "detail": step.detail_zh if lang == "zh" else step.detail, "tx": step.tx}


def _note(story: Story) -> None:
    grant = next(step.tx for step in story.steps if step.name == "grant")
    (story.home.path / NOTES).write_text(json.dumps({
        "subject": story.at_harbour.hex(), "other_subject": story.other_subject().hex(), "grant_tx": grant,
        "data": str(story.data.resolve()) if story.data else ""}))


def _kept(home: Path, lang: str) -> str:
    return (f"演示已在 {home} 中。要重新开始，请换一个 --home，或先移走这个文件夹。" if lang == "zh" else
            f"The demo is in {home} already. To start afresh name another --home, or move this folder away.")


def _free_beside(home: Path) -> Path:
    return next(path for number in itertools.count(1)
                if not (path := home.with_name(f"{home.name}.unfinished-{number}")).exists())


def _put_aside(aside: Path, lang: str) -> str:
    return (f"上次的演示中断了，它的文件夹现在是 {aside}，不再需要时可以删除。" if lang == "zh" else
            f"The last demo was interrupted. Its folder is now {aside}; delete it when nobody needs it.")


def _print(text: str) -> None:
    print(text, flush=True)


def _colour(text: str, code: str) -> str:
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"


def _intro(story: Story, lang: str) -> str:
    names = "  ".join(one.name(lang) for one in story.home.organisations())
    head = "杏林 Xinglin" if lang == "zh" else "Xinglin 杏林"
    simulated = "（模拟时间，由一个运营者运行）" if lang == "zh" else "  (simulated time, run by a single operator)"
    return f"{_colour(head, '1')}  {story.home.node.chain}{simulated}\n{names}\n"


def _told(step: Step, lang: str) -> str:
    told = STEPS[step.name]
    title, proves = (told.zh, told.proves_zh) if lang == "zh" else (told.en, told.proves_en)
    mark = _colour("✓", "32") if step.ok else _colour("✕", "31")
    number = list(STEPS).index(step.name) + 1
    tx = f"  tx {step.tx[:12]}" if step.tx else ""
    detail = step.detail_zh if lang == "zh" else step.detail
    return f"{mark} {number:2} {_colour(title, '1')}\n      {proves}\n      {_colour(detail + tx, '2')}"


def _end(story: Story, held: bool, transactions: int, seconds: float, lang: str) -> str:
    if lang == "zh":
        result = "全部成立" if held else "有一步不成立"
        return (f"\n{result}：{story.patients} 位患者，{story.resources:,} 份资源，{transactions} 个结果，"
                f"用时 {seconds:.1f} 秒")
    result = "Every step held" if held else "A step did not hold"
    return (f"\n{result}: {story.patients} patients, {story.resources:,} resources, {transactions} outcomes, "
            f"{seconds:.1f} s")


def _exports(home: Path, lang: str) -> str:
    """What a fresh shell needs: where the program is, when that is an environment of its own, and the home."""
    found = [f"PATH={shlex.quote(str(Path(sys.prefix) / 'bin'))}:$PATH"] if sys.prefix != sys.base_prefix else []
    found += [f"XINGLIN_HOME={shlex.quote(str(home.resolve()))}", f"XINGLIN_PASSPHRASE={PASSPHRASE}"]
    if lang == "zh":
        found.append("XINGLIN_LANG=zh")
    return " ".join(("export", *found))


def by_hand(home: Path, lang: str) -> str:
    """The commands that repeat each step on this home, in any shell; CODE and GRANT are for the reader to fill in."""
    notes = json.loads((home / NOTES).read_text())
    subject, other = notes["subject"][:SHORT_ID], notes["other_subject"][:SHORT_ID]

    def said(zh: str, en: str) -> str:
        return f"# {zh if lang == 'zh' else en}"

    def request(scope: str) -> str:
        return (f"xinglin access request --as {DOCTOR} --subject {subject} \\\n"
                f"    --scope {scope} --purpose TREAT --reason {'复诊' if lang == 'zh' else 'visit'}")

    mine = f"--wallet {WALLET} --subject {HARBOUR}"
    return "\n".join((
        "", said("在任何终端里逐步手动重复：", "Repeat each step by hand, in any terminal:"),
        _exports(home, lang),
        "xinglin member list", f"xinglin subject list --as {HARBOUR}",
        said("1 再次导入：没有变化的会跳过，另一家医院的患者是新的",
             "1 import again: what has not changed is skipped, the other hospital's patients are new"),
        f"xinglin record import {shlex.quote(notes['data']) if notes['data'] else '--sample'} --as {HARBOUR}",
        said("2 认领另一位患者：在窗口领取认领码（填入 CODE），用钱包认领",
             "2 claim another patient: a code at the counter (for CODE), then the wallet"),
        "xinglin key new --wallet second", f"xinglin subject code {other}",
        f"xinglin subject claim {other} --wallet second --code CODE",
        said("3 医生请求：拒绝（退出码 4）", "3 the doctor asks: denied (exit 4)"), request("laboratory"),
        said("4 授权，再请求", "4 grant, then ask again"),
        f"xinglin consent grant {mine} --to {XINGLIN} \\\n"
        "    --scope laboratory --scope medications --purpose TREAT --days 30 --yes",
        f"{request('laboratory')} -o received",
        said("5 精神科文书：拒绝（退出码 4）", "5 the psychiatric note: denied (exit 4)"), request("DocumentReference"),
        said("6 谁请求过，以及访问记录完整的证明", "6 who asked, and the proof that the list is complete"),
        f"xinglin access list {mine}", f"xinglin access prove {mine} -o history.proof", "xinglin verify history.proof",
        said("7 撤回（GRANT 填列表中的授权）", "7 take it back (GRANT from the list)"),
        f"xinglin consent list --wallet {WALLET}", f"xinglin consent revoke GRANT --wallet {WALLET}",
        said("8 让一项授权到期", "8 let a consent run out"),
        f"xinglin consent grant {mine} --to {XINGLIN} \\\n    --scope laboratory --purpose TREAT --hours 1 --yes",
        "xinglin clock advance --hours 2", f"xinglin consent list --wallet {WALLET}",
        said("9 账本上没有个人信息：演示已在每个字节里查找，无需手动重复",
             "9 nobody is on the ledger: the demo searched every byte; nothing to repeat"),
        said("10 取一份回执，离线验证；别人验证时用 net list 中的完整网络标识",
             "10 take a receipt and verify it offline; others need the whole network id, from net list"),
        f"xinglin trace {notes['grant_tx'][:SHORT_ID]} -o receipt", "xinglin verify receipt", "xinglin net list",
        said("11 没有给保险公司的授权", "11 no consent to the insurer"),
        f"xinglin consent absent --subject {subject} --to {INSURER} -o absent.proof", "xinglin verify absent.proof"))


__all__ = ["by_hand", "run"]
