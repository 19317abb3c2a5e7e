"""Which directories a user's own modules are looked for in, and which of them would hide ours."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pipelines.preflight import check_shadowing
from pipelines.search_path import hidden_by, user_directories


def test_directories_of_the_user_are_kept_in_order_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, library = tmp_path / "work", tmp_path / "library"
    work.mkdir()
    library.mkdir()
    monkeypatch.chdir(work)
    path = ["", str(library), str(tmp_path / "gone"), str(work), os.__file__, str(Path(os.__file__).parent)]
    assert user_directories(path) == [str(work), str(library)]


def test_installed_packages_are_not_the_users() -> None:
    [packages] = {one for one in sys.path if one.endswith("site-packages")}
    assert user_directories([packages]) == []


def test_a_package_of_the_same_name_hides_ours_and_a_mere_directory_does_not(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    assert hidden_by(tmp_path) is None
    assert user_directories([str(tmp_path)]) == [str(tmp_path)]

    (tmp_path / "training" / "__init__.py").touch()
    assert hidden_by(tmp_path) == tmp_path / "training"
    assert user_directories([str(tmp_path)]) == []
    check = check_shadowing(tmp_path)
    assert (check.ok, check.cure) == (False, "rename training/")
