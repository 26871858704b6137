"""What others wrote does not steer the terminal of who looks, and does not break JSON."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from cli_rig import ROOT, environment, rig_in
from security.evil import EVIL, FORBIDDEN, Texts, forge

COMMANDS = [
    ["list"], ["show", "@last"], ["show", "@last", "-t", "t"], ["events", "@last"],
    ["events", "@store"], ["watch", "@last"], ["graph", "@last"], ["graph", "@last", "-f", "dot"],
    ["graph", "@last", "-f", "svg"], ["graph", "@last", "-f", "mermaid"], ["db", "check"],
    ["audit", "verify"], ["resume", "@last"], ["cancel", "@last"], ["show", EVIL.replace("\0", "")],
    ["show", "@last", "-t", EVIL.replace("\0", "")], [EVIL.replace("\0", "")],
    ["--" + EVIL.replace("\0", "")], ["list", "-w", EVIL.replace("\0", "")],
    ["run", EVIL.replace("\0", "") + ".py:x"], ["import", EVIL.replace("\0", "")],
]  # fmt: skip
FORGED_LINE = "\nerror: forged line"


def on_a_terminal(folder, *args, **env):
    """What a person would see, all control characters included."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "durable_wf", *args],
        cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs,
        env=environment({"NO_COLOR": "1", "TERM": "dumb", **env}),
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    try:
        while data := os.read(ours, 65536):
            seen += data
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(ours)
    process.wait(timeout=30)
    # A terminal of its own accord makes two of each line end.
    return seen.decode("utf-8", "surrogateescape").replace("\r\n", "\n")


def steering(text):
    return {char for char in text if char in FORBIDDEN or 0xDC80 <= ord(char) <= 0xDCFF} - {"\n"}


@pytest.fixture(scope="module")
def forged(tmp_path_factory):
    return forge(tmp_path_factory.mktemp("forged") / "s", Texts(free=EVIL))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c).replace(EVIL, "EVIL")[:20])
def test_nothing_of_it_reaches_the_terminal(forged, command):
    """Exceptions, tracebacks, tags, metadata, causes, arguments."""
    seen = on_a_terminal(forged.parent, *command, "--store", str(forged))
    assert not steering(seen), seen
    assert seen.strip() or command[-1] == "@store"
    if EVIL.replace("\0", "") not in "".join(command) and "-t" not in command:
        assert FORGED_LINE not in seen


def test_what_a_task_printed_reaches_the_terminal_without_its_escapes(forged):
    """Lines it may have; it cannot clear, recolour, retitle or write to the clipboard."""
    seen = on_a_terminal(forged.parent, "logs", "@last", "--store", str(forged))
    assert not steering(seen)
    assert FORGED_LINE in seen


def test_off_a_terminal_output_stays_as_it_was_printed(forged):
    shown = rig_in(forged.parent)("logs", "@last", "-t", "t", "--store", forged)
    assert shown.out == EVIL


def test_the_terminal_of_these_tests_lets_escapes_through(tmp_path):
    """The positive control: what is not cleaned is seen."""
    (tmp_path / "sitecustomize.py").write_text(f"import sys; sys.stdout.write({EVIL!r})")
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    seen = on_a_terminal(tmp_path, "--version", PYTHONPATH=path)
    assert steering(seen) >= {"\x1b", "\x07", "\u202e"}
    assert FORGED_LINE in seen


def test_bytes_that_are_no_text_do_not_reach_the_terminal(tmp_path):
    """\\x9b, as one byte, is an escape sequence's beginning to some terminals."""
    rig = rig_in(tmp_path)
    name = os.fsdecode(b"\x9b31m")
    assert rig.execute("run", "pipeline.py:workflow", "--tag", name, "--id", "r").code == 0
    for args in (["show", "r"], ["show", name], ["events", "r"]):
        for env in ({}, {"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}):
            seen = on_a_terminal(tmp_path, *args, **env)
            assert not steering(seen)
            assert "internal error" not in seen


JSON = [
    ["list"], ["show", "@last"], ["events", "@last"], ["events", "@store"], ["logs", "@last"],
    ["db", "check"], ["audit", "verify"], ["audit", "head"], ["show", EVIL], ["resume", "@last"],
]  # fmt: skip


@pytest.mark.parametrize("command", JSON, ids=lambda c: c[0])
def test_json_is_json_in_plain_ascii_whatever_is_in_it(forged, command):
    shown = rig_in(forged.parent)(*command, "--json", "--store", forged)
    text = shown.out or shown.err
    assert text.isascii()
    assert all(char.isprintable() for char in text.replace("\n", ""))
    for line in text.splitlines():
        assert isinstance(json.loads(line), dict)


def test_text_comes_back_from_json_as_it_was(forged):
    shown = rig_in(forged.parent)("show", "@last", "--json", "--store", forged).document
    assert shown["metadata"] == {EVIL: EVIL}
    assert shown["task_states"]["t"]["fault"]["message"] == EVIL


MARKUP = '</text><script>alert(1)</script>"\'><img src=x onerror=alert(1)>&#x41;"];evil[label="'


@pytest.mark.parametrize(
    "title", [MARKUP, "]]>", "--><svg onload=x>", '"]\nclick A "javascript:x"']
)
def test_a_drawing_has_no_element_and_no_statement_from_a_text(title):
    """Names cannot hold markup; titles and details are escaped as if they could."""
    from durable_wf.cli.drawing.picture import Picture, PictureNode
    from durable_wf.cli.drawing.svg import svg
    from durable_wf.cli.drawing.text import dot, mermaid

    def drawn(text):
        node = PictureNode(label=text, size=1, state=None, detail=text)
        return Picture(title=text, nodes=(node,), edges=())

    def elements(text):
        root = ET.fromstring(text)
        return [(one.tag, sorted(one.attrib)) for one in root.iter()]

    assert elements(svg(drawn(title))) == elements(svg(drawn("x")))
    assert len(dot(drawn(title)).splitlines()) == len(dot(drawn("x")).splitlines())
    assert len(mermaid(drawn(title)).splitlines()) == len(mermaid(drawn("x")).splitlines())
    assert "<" not in mermaid(drawn(title)).split("---")[2]
