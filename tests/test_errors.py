"""What every error of hepvae has in common."""

from __future__ import annotations

import pytest

from hepvae import errors
from hepvae.output.text import terminal_text

TOKEN = "eyJhbGciOi.J9-_x"


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name.endswith("Error")])
def test_messages_without_tokens(name):
    """`root://h//f.root?authz=TOKEN: no such file` went to logs and reports that others read, token and all."""
    message = f"root://h//f.root?xrd.wantprot=ztn&authz=Bearer%20{TOKEN}&a=b: no such file"
    error = getattr(errors, name)(message)
    assert str(error) == "root://h//f.root?xrd.wantprot=ztn&authz=Bearer%20***&a=b: no such file"


def test_names_on_the_terminal_without_tokens():
    assert terminal_text(f"root://h//f.root?authz={TOKEN}") == "root://h//f.root?authz=***"


def test_stored_options_without_tokens():
    from hepvae.execution.session import _plain

    assert _plain([f"root://h//f.root?authz={TOKEN}", 3]) == ["root://h//f.root?authz=***", 3]


def test_a_sentence_that_goes_on_in_the_next_line():
    """Of a truncated file the message was "expected Chunk of length 7808," and no more."""
    said = errors.one_line(OSError("expected Chunk of length 7808,\nreceived 0 bytes\nfor file path x.root"))
    assert said == "OSError: expected Chunk of length 7808, received 0 bytes"
    assert errors.one_line(ValueError("wrong\nand more")) == "ValueError: wrong"
    assert errors.one_line(KeyError()) == "KeyError"
