"""The answers of the core to scripted inputs are those that were reviewed.

To change them on purpose: DWF_REWRITE_TRANSCRIPTS=1 tools/test tests/test_transcripts.py, then
read the diff.
"""

from __future__ import annotations

import os
from pathlib import Path

import oracles
import pytest
import transcript

SCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
EACH_SCRIPT = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)


@EACH_SCRIPT
def test_a_transcript_is_as_it_was_reviewed(path):
    """Events, obligations and state below each input."""
    written = path.read_text()
    actual, _ = transcript.play(path.stem, written)
    if os.environ.get("DWF_REWRITE_TRANSCRIPTS"):
        path.write_text(actual)
    assert path.read_text() == actual


@EACH_SCRIPT
def test_a_transcript_is_a_sound_history(path):
    """The oracles, which do not know the core, have nothing to say against it."""
    _, played = transcript.play(path.stem, path.read_text())
    reading = oracles.read(played.workflow, played.events)
    assert reading.n == len(played.events) > 0


def test_every_verb_is_used_by_some_transcript():
    """And there are transcripts at all."""
    verbs = {
        line[2:].split()[0]
        for path in SCRIPTS
        for line in path.read_text().splitlines()
        if line.startswith("> ")
    }
    assert verbs == set(transcript.VERBS)


def test_a_changed_answer_is_noticed():
    """The control: an answer that the core does not give makes a difference."""
    written = (SCRIPTS[0].parent / "chain.txt").read_text()
    changed = written.replace("RunSucceeded", "RunFailed")
    actual, _ = transcript.play("chain", changed)
    assert changed != written == actual
