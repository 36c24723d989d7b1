"""The demo: a network of five organisations in one home, and the story that shows what it promises."""

import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from xinglin.client import pins
from xinglin.demo.cast import PASSPHRASE, STEPS
from xinglin.demo.story import DOCTOR, Step, Story, found, play


def run(home: Path | None, data: Path | None, *, check: bool, as_json: bool, lang: str) -> int:
    """Play the story. With `check` in a temporary home unless one is named; 0 only if every step held.

    Errors  Failed HOME_NOT_EMPTY when the home named has a ledger already.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        path = home
        if path is None:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xinglin-demo-")))
        story = found(path, data, time.time_ns() // 1_000_000)
        stack.callback(story.home.close)
        if home is not None:
            pins.write(pins.config_folder(), story.home.node.chain, story.home.network)
        if not as_json:
            _print(_intro(story, lang))
        held = play(story, lambda step: None if as_json else _print(_told(step, lang)))
        seconds = time.monotonic() - started
        transactions = sum(count for _, _, count in story.home.node.blocks())
        if as_json:
            _print(json.dumps({
                "patients": story.patients, "resources": story.resources, "transactions": transactions,
                "seconds": round(seconds, 2), "steps": [vars(step) for step in story.steps]}, ensure_ascii=False))
        else:
            _print(_end(story, held, transactions, seconds, lang))
            if held and home is not None and not check:
                _print(by_hand(story, lang))
    return 0 if held else 1


def _print(text: str) -> None:
    print(text, flush=True)


def _colour(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if sys.stdout.isatty() else text


def _intro(story: Story, lang: str) -> str:
    names = "  ".join(one.name(lang) for one in story.home.organisations())
    head = "杏林 Xinglin" if lang == "zh" else "Xinglin 杏林"
    simulated = "模拟时间,由一个运营者运行" if lang == "zh" else "simulated time, run by a single operator"
    return f"{_colour(head, '1')}  {story.home.node.chain}  ({simulated})\n{names}\n"


def _told(step: Step, lang: str) -> str:
    told = STEPS[step.name]
    title, proves = (told.zh, told.proves_zh) if lang == "zh" else (told.en, told.proves_en)
    mark = _colour("✓", "32") if step.ok else _colour("✕", "31")
    number = list(STEPS).index(step.name) + 1
    tx = f"  tx {step.tx[:12]}" if step.tx else ""
    return f"{mark} {number:2} {_colour(title, '1')}\n      {proves}\n      {_colour(step.detail + tx, '2')}"


def _end(story: Story, held: bool, transactions: int, seconds: float, lang: str) -> str:
    if lang == "zh":
        result = "全部成立" if held else "有一步不成立"
        return (f"\n{result}:{story.patients} 位患者,{story.resources} 份资源,{transactions} 笔结果,"
                f"{seconds:.1f} 秒")
    result = "Every step held" if held else "A step did not hold"
    return (f"\n{result}: {story.patients} patients, {story.resources} resources, {transactions} outcomes, "
            f"{seconds:.1f} s")


def by_hand(story: Story, lang: str) -> str:
    """The commands that repeat each step on this home."""
    home, subject = story.home.path, story.at_harbour.hex()
    wallet = story.wallet_file
    comment = (lambda zh, en: f"# {zh if lang == 'zh' else en}")
    lines = [
        comment("逐步手动重复:", "Repeat each step by hand:"),
        f"export XINGLIN_HOME={home} XINGLIN_PASSPHRASE={PASSPHRASE}",
        comment("谁在这里", "who is here"), "xinglin member list", "xinglin subject list --as harbour",
        comment("再次导入:没有变化就跳过", "import again: what has not changed is skipped"),
        f"xinglin record import {home / 'sample'} --as harbour",
        comment("认领另一位患者", "claim another patient"),
        f"xinglin subject code {story.other_subject().hex()}",
        f"xinglin subject claim {story.other_subject().hex()} --wallet {wallet} --code CODE",
        comment("医生请求:拒绝(退出码 4)", "the doctor asks: denied (exit 4)"),
        f"xinglin access request --as {DOCTOR} --subject {subject} --scope laboratory --purpose TREAT --reason visit",
        comment("授权、再请求、列出、证明、撤回", "grant, ask again, list, prove, revoke"),
        f"xinglin consent grant --wallet {wallet} --subject {subject} --to xinglin --scope laboratory "
        "--scope medications --purpose TREAT --days 30 --yes",
        f"xinglin access request --as {DOCTOR} --subject {subject} --scope laboratory --purpose TREAT --reason visit "
        "-o received",
        f"xinglin access list --wallet {wallet} --subject {subject}",
        f"xinglin access prove --wallet {wallet} --subject {subject} -o history.proof",
        "xinglin verify history.proof",
        f"xinglin consent list --wallet {wallet}",
        f"xinglin consent revoke GRANT --wallet {wallet}",
        comment("让日子过去", "let days pass"), "xinglin clock advance --days 31",
        comment("没有给保险公司的授权", "no consent to the insurer"),
        f"xinglin consent absent --subject {subject} --to insurer -o absent.proof", "xinglin verify absent.proof",
        f"xinglin trace {next(step.tx for step in story.steps if step.name == 'grant')} -o receipt",
        "xinglin verify receipt",
    ]
    return "\n" + "\n".join(lines)


__all__ = ["run"]
