"""Copies of blocks in durable storage."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.block_files import MANIFEST, BlockFile, BlockFiles
from pipelines.errors import HandoffError

TABLE = pa.table({"row_id": ["a", "b"], "text": ["流量", None], "tags": [["x"], []]})


def test_a_block_comes_back_as_it_was(tmp_path: Path) -> None:
    file = BlockFiles(str(tmp_path)).new()
    file.write(TABLE)
    assert file.read() == TABLE


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_path_and_a_uri_lead_to_the_same_place(tmp_path: Path, form: str) -> None:
    files = BlockFiles(form.format(tmp_path))
    files.new().write(TABLE)
    assert len(list(tmp_path.glob("handoff-*/block-00000.arrow"))) == 1


def test_two_handovers_share_a_checkpoint_without_meeting(tmp_path: Path) -> None:
    one, other = BlockFiles(str(tmp_path)), BlockFiles(str(tmp_path))
    one.new().write(TABLE)
    other.new().write(TABLE.slice(0, 1))
    one.remove()
    assert [path.name for path in tmp_path.glob("handoff-*/*")] == ["block-00000.arrow"]


def test_what_was_not_kept_goes_and_the_manifest_says_what_was(tmp_path: Path) -> None:
    files = BlockFiles(str(tmp_path))
    lost, kept = files.new(), files.new()
    lost.write(TABLE)
    kept.write(TABLE)
    files.publish([kept])
    assert sorted(path.name for path in tmp_path.glob("handoff-*/*")) == ["block-00001.arrow", MANIFEST]
    assert "block-00001.arrow" in next(tmp_path.glob(f"*/{MANIFEST}")).read_text()


def test_a_write_that_is_cut_short_leaves_no_block(tmp_path: Path) -> None:
    file = BlockFiles(str(tmp_path)).new()
    Path(file.uri).mkdir()
    with pytest.raises(HandoffError, match=r"cannot keep a copy of a block at .*block-00000"):
        file.write(TABLE)
    assert not [path for path in tmp_path.rglob("*.arrow") if path.is_file()]


def test_a_block_that_is_gone_says_what_a_checkpoint_needs(tmp_path: Path) -> None:
    with pytest.raises(HandoffError, match="must be where every node reaches it"):
        BlockFile(str(tmp_path / "block-00000.arrow")).read()


@pytest.mark.parametrize("wrong", ["relative/path", "nowhere://bucket/dir", "/proc/no/such"])
def test_a_checkpoint_that_cannot_be_used_is_named(wrong: str) -> None:
    with pytest.raises(HandoffError, match=r"cannot use '.*' as the checkpoint.*absolute path"):
        BlockFiles(wrong)
