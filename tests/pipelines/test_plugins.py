"""A plug-in is found by its name or by where it is, and what is wrong with one is said."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from pipelines.errors import SpecError
from pipelines.plugins import KINDS, SINK, SOURCE, STEP, TRAINER, Registry, did_you_mean
from pipelines.steps import Deduplicate, WordCount
from tests.pipelines import sample_plugins

SAMPLES = "tests.pipelines.sample_plugins"


def step(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, STEP.group)


def install(directory: Path, package: str, entry_points: str) -> None:
    """Make a distribution that Python finds in a directory on its path."""
    info = directory / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


def test_built_ins_are_registered_like_everyone_elses() -> None:
    registry = Registry.installed()
    assert registry.find(STEP, "word_count") is WordCount
    assert "text_folder" in registry.names(SOURCE)
    assert "parquet" in registry.names(SINK)
    assert "text_classifier" in registry.names(TRAINER)


def test_every_built_in_goes_from_its_name_to_its_class_and_back() -> None:
    registry = Registry.installed()
    names = [(kind, name) for kind in KINDS for name in registry.names(kind)]
    assert len(names) >= 19
    for kind, name in names:
        assert registry.name_of(kind, registry.find(kind, name)) == name


def test_another_package_registers_a_plugin_by_being_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_steps.py").write_text("from pipelines.steps import WordCount\nclass Acme(WordCount): ...\n")
    install(tmp_path, "acme", "[headrace.steps]\nacme = acme_steps:Acme\n")
    monkeypatch.syspath_prepend(tmp_path)

    registry = Registry.installed()
    acme = registry.find(STEP, "acme")

    assert acme.__module__ == "acme_steps"
    assert registry.name_of(STEP, acme) == "acme"


def test_any_class_is_found_by_where_it_is_and_back() -> None:
    registry = Registry.installed()
    assert registry.find(STEP, f"{SAMPLES}:Shorten") is sample_plugins.Shorten
    assert registry.name_of(STEP, sample_plugins.Shorten) == f"{SAMPLES}:Shorten"


def test_an_unknown_name_is_answered_with_the_nearest_and_with_all() -> None:
    with pytest.raises(SpecError) as raised:
        Registry.installed().find(STEP, "dedupe")
    assert "unknown step 'dedupe'; did you mean 'deduplicate'? known: arrow_function, " in str(raised.value)
    assert "module:Class" in str(raised.value)


def test_a_name_of_another_kind_is_recognised() -> None:
    with pytest.raises(SpecError, match="unknown step 'text_folder'; there is a source of that name; known: "):
        Registry.installed().find(STEP, "text_folder")


def test_no_registration_at_all_means_that_headrace_is_not_installed() -> None:
    with pytest.raises(SpecError, match=r"headrace\.steps.*pip install headrace"):
        Registry(()).find(STEP, "word_count")


def test_a_failing_import_names_the_package_the_reason_and_the_missing_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needy.py").write_text("import a_module_that_nobody_has\n")
    install(tmp_path, "needy-steps", "[headrace.steps]\nneedy = needy:Needy\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(SpecError) as raised:
        Registry.installed().find(STEP, "needy")

    assert "'needy' of the package needy-steps cannot be used: importing needy:Needy failed" in str(raised.value)
    assert "install what provides the module a_module_that_nobody_has" in str(raised.value)


def test_a_broken_plugin_harms_no_other() -> None:
    registry = Registry((step("broken", "no_such_module:X"), step("word_count", "pipelines.steps:WordCount")))
    assert registry.find(STEP, "word_count") is WordCount
    assert registry.name_of(STEP, WordCount) == "word_count"


def test_a_name_that_two_packages_register_is_for_the_spec_to_decide() -> None:
    registry = Registry((step("x", "pipelines.steps:WordCount"), step("x", "pipelines.steps:Deduplicate")))
    with pytest.raises(SpecError, match=r"'x' is registered by .*Deduplicate.* and .*WordCount.*module:Class"):
        registry.find(STEP, "x")
    assert registry.name_of(STEP, Deduplicate) == "pipelines.steps.deduplicate:Deduplicate"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"{SAMPLES}:Shop", "is a source"),
        (f"{SAMPLES}:Window", "is a subclass of none of"),
        (f"{SAMPLES}:identity", "is not a class"),
        (f"{SAMPLES}:Shortn", "has no Shortn; did you mean 'Shorten'?"),
        (f"{SAMPLES}:Typed", "an option 'type'"),
        ("pipelines.steps:RowStep", "leaves undefined: apply"),
        ("no_such_module:X", "importing no_such_module failed with ModuleNotFoundError"),
        ("no_class:", "write module:Class"),
    ],
)
def test_what_is_no_step_is_refused_with_what_it_is(name: str, said: str) -> None:
    with pytest.raises(SpecError) as raised:
        Registry.installed().find(STEP, name)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("name", "near"),
    [("mn", "'min'"), ("Min", "'min'"), ("word-count", "'word_count'"), ("wrd_cnt", "'word_count'")],
)
def test_the_nearest_name_is_proposed(name: str, near: str) -> None:
    assert did_you_mean(name, ["min", "max_size", "word_count"]) == f"; did you mean {near}?"


def test_nothing_is_proposed_where_nothing_is_near() -> None:
    assert did_you_mean("zebra", ["min", "max"]) == ""
