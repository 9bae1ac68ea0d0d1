"""Storages that cannot be had, and addresses that hold a password."""

from __future__ import annotations

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from study_cases import FILES, url_in
from study_worker import open_at

from cappuccino.errors import InputError
from cappuccino.sweep.storage import shown_url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+psycopg://me:secret@127.0.0.1:1/db", "postgresql+psycopg://me:***@127.0.0.1:1/db"),
        ("postgresql+psycopg://me@127.0.0.1:1/db?password=secret", "postgresql+psycopg://me@127.0.0.1:1/db"),
        ("mysql://me:secret@there/db", "it must be sqlite:///FILE"),
        ("sqlite://", "it must be sqlite:///FILE"),
        ("sqlite:///:memory:", "it must be sqlite:///FILE"),
        ("journal:///", "it must be sqlite:///FILE"),
        ("studies.db", "it must be sqlite:///FILE"),
        ("me:secret@there/db", "it must be sqlite:///FILE"),
        ("postgresql+psycopg://me:sec@secret@127.0.0.1:1/db", "a password's @ is written %40"),
        ("postgresql+psycopg://me:secret?secret@127.0.0.1:1/db", "and its ? %3F"),
        ("postgresql+psycopg://me:secret@127.0.0.1:port/db", "me:***@127.0.0.1:port/db; it must be sqlite:///FILE"),
        ("postgresql+psycopg://127.0.0.1:1/db?password=sec@secret", "postgresql+psycopg://...; it must be"),
        ("sqlite:////dev/null/study.db", "sqlite:////dev/null/study.db cannot be used"),
        ("journal:////dev/null/study.log", "journal:////dev/null/study.log cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_had_is_named_without_its_password(url: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        open_at(url, 2)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.from_regex(r"[a-z]{1,6}", fullmatch=True), st.from_regex(r"S[A-Z0-9:%]{3,9}", fullmatch=True))
def test_a_password_is_never_shown(user: str, password: str) -> None:
    assert shown_url(f"postgresql+psycopg://{user}:{password}@host/name") == f"postgresql+psycopg://{user}:***@host/name"


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("content", [b"no database\n", b"[1]\n", b'{"op_code": 99}\n', b"\x00\xff\n"])
def test_a_file_of_something_else_is_refused(tmp_path: pathlib.Path, kind: str, content: bytes) -> None:
    (tmp_path / "study").write_bytes(content)
    with pytest.raises(InputError, match="cannot be used"):
        open_at(url_in(tmp_path, kind), 2)
    assert (tmp_path / "study").read_bytes() == content


def test_a_path_may_have_braces(tmp_path: pathlib.Path) -> None:
    open_at(url_in(tmp_path / "{a}{", "sqlite"), 1)
    assert (tmp_path / "{a}{" / "study").is_file()
