"""Checkpoints: which are kept, and that damage to any file of one is noticed in one line."""

from __future__ import annotations

import pathlib
import random
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cappuccino.errors import InputError
from cappuccino.training.checkpoints import Checkpoints, digest, flatten, unflatten

META = {"market fingerprint": "0123", "assets": ["ONE", "TWO"], "validation": {"score": 0.25}}
TREE = {"policy": {"w": jnp.arange(12.0).reshape(3, 4)}, "key": jax.random.key(3), "update": jnp.int32(7)}
FILES = (
    "_CHECKPOINT_METADATA",
    "arrays/_METADATA",
    "arrays/manifest.ocdbt",
    "arrays/d/*",
    "arrays/ocdbt.process_0/manifest.ocdbt",
    "arrays/ocdbt.process_0/d/*",
    "meta/metadata",
    "metrics/metrics",
)

# TensorStore may report a second array's failure when the first has already ended the event loop that both were read in.
UNRAISABLE = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def moved(update: int):
    return TREE | {"update": jnp.int32(update)}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("written") / "checkpoints"
    with Checkpoints(folder) as checkpoints:
        for update, score in ((1, 0.5), (2, 0.25)):
            checkpoints.save(update, moved(update), score, META)
    return folder


def kept(folder: pathlib.Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_latest_two_and_the_best_are_kept(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for update, score in enumerate((0.1, 0.9, -3.0, 0.5, 0.2), start=1):
            checkpoints.save(update, moved(update), score, META)
        assert (checkpoints.latest(), checkpoints.best()) == (5, 2)
    assert kept(tmp_path) == ["2", "4", "5"]
    with Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.latest(), checkpoints.best()) == (5, 2)
        checkpoints.save(6, moved(6), 1.5, META)
        assert (checkpoints.latest(), checkpoints.best()) == (6, 6)
        assert int(checkpoints.restore(5).arrays["['update']"]) == 5
    assert kept(tmp_path) == ["5", "6"]


def test_a_folder_without_checkpoints_has_neither_latest_nor_best(tmp_path):
    with Checkpoints(tmp_path / "none") as checkpoints:
        assert checkpoints.latest() is None
        assert checkpoints.best() is None


def test_what_is_restored_is_what_was_saved_bit_for_bit(written):
    with Checkpoints(written) as checkpoints:
        restored = checkpoints.restore(2)
    assert restored.meta == META
    assert restored.update == 2
    assert digest(restored.arrays) == digest(flatten(moved(2)))
    back = unflatten(TREE, restored.arrays)
    np.testing.assert_array_equal(jax.random.key_data(back["key"]), jax.random.key_data(TREE["key"]))
    assert jax.random.uniform(back["key"]) == jax.random.uniform(TREE["key"])


def test_what_a_kill_left_half_written_or_half_deleted_is_cleared(written, tmp_path):
    folder = tmp_path / "checkpoints"
    shutil.copytree(written, folder)
    shutil.copytree(folder / "2", folder / "3.orbax-checkpoint-tmp")
    shutil.rmtree(folder / "3.orbax-checkpoint-tmp" / "meta")
    shutil.copytree(folder / "1", folder / "deleted" / "0")
    shutil.rmtree(folder / "deleted" / "0" / "arrays")
    with Checkpoints(folder) as checkpoints:
        assert (checkpoints.latest(), checkpoints.best()) == (2, 1)
        checkpoints.save(3, moved(3), 0.1, META)
    assert kept(folder) == ["1", "2", "3"]


def test_a_checkpoint_leaves_its_place_before_its_files_are_deleted(tmp_path, monkeypatch):
    with Checkpoints(tmp_path) as checkpoints:
        for update in (1, 2, 3):
            checkpoints.save(update, moved(update), -update, META)
        monkeypatch.setattr(shutil, "rmtree", lambda *_: None)
        checkpoints.save(4, moved(4), -4, META)
    assert kept(tmp_path) == ["1", "3", "4", "deleted"]
    assert sorted(path.name for path in (tmp_path / "deleted" / "2").iterdir()) == sorted(
        p.name for p in (tmp_path / "3").iterdir()
    )


def read(folder: pathlib.Path, update: int) -> dict[str, np.ndarray]:
    with Checkpoints(folder) as checkpoints:
        assert (checkpoints.latest(), checkpoints.best()) == (2, 1)
        return checkpoints.restore(update).arrays


def assert_refused_or_intact(folder: pathlib.Path) -> None:
    """Checkpoint 2 gives what was saved, or one line that says which folder to delete."""
    try:
        found = digest(read(folder, 2))
    except InputError as error:
        found = str(error)
        refused = True
    else:
        refused = False
    if refused:
        assert "\n" not in found
        assert "delete that folder" in found
    else:
        assert found == digest(flatten(moved(2)))


def test_the_files_that_are_damaged_below_are_all_there_are(written):
    found = {path for path in (written / "2").rglob("*") if path.is_file()}
    assert found == {path for pattern in FILES for path in (written / "2").glob(pattern)}
    assert all(any((written / "2").glob(pattern)) for pattern in FILES)


@UNRAISABLE
@pytest.mark.parametrize("pattern", FILES)
def test_a_flipped_bit_is_refused_in_one_line_or_changes_nothing(pattern, written, tmp_path):
    rng = random.Random(pattern)
    folder = tmp_path / "checkpoints"
    shutil.copytree(written, folder)
    for file in sorted((folder / "2").glob(pattern)):
        content = file.read_bytes()
        for place in {0, len(content) - 1, *(rng.randrange(len(content)) for _ in range(4))}:
            file.write_bytes(content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :])
            assert_refused_or_intact(folder)
        file.write_bytes(content)
    assert digest(read(folder, 2)) == digest(flatten(moved(2)))


@UNRAISABLE
@pytest.mark.parametrize("damage", ["missing", "empty", "half"])
@pytest.mark.parametrize("pattern", FILES)
def test_a_file_missing_or_cut_short_is_refused_in_one_line_or_changes_nothing(pattern, damage, written, tmp_path):
    folder = tmp_path / "checkpoints"
    shutil.copytree(written, folder)
    for file in sorted((folder / "2").glob(pattern)):
        content = file.read_bytes()
        if damage == "missing":
            file.unlink()
        else:
            file.write_bytes(content[: len(content) // 2 if damage == "half" else 0])
        assert_refused_or_intact(folder)
        file.write_bytes(content)


def test_every_character_of_what_was_saved_beside_the_arrays_is_checked(written, tmp_path):
    folder = tmp_path / "checkpoints"
    shutil.copytree(written, folder)
    for file, digit in ((folder / "2" / "meta" / "metadata", b"0123"), (folder / "1" / "metrics" / "metrics", b"0.5")):
        content = file.read_bytes()
        assert content.count(digit) >= 1
        file.write_bytes(content.replace(digit, digit[:-1] + b"4", 1))
        with pytest.raises(InputError, match=f"checkpoint .*{file.parts[-3]} "):
            read(folder, 2)
        file.write_bytes(content)


def test_deleting_a_damaged_checkpoint_goes_on_from_the_one_before(written, tmp_path):
    folder = tmp_path / "checkpoints"
    shutil.copytree(written, folder)
    (folder / "2" / "meta" / "metadata").write_text("")
    with Checkpoints(folder) as checkpoints, pytest.raises(InputError, match="delete that folder to go on from the one before"):
        checkpoints.restore(2)
    shutil.rmtree(folder / "2")
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.latest() == 1
        assert int(checkpoints.restore(1).arrays["['update']"]) == 1


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"policy": {"w": jnp.zeros((3, 5))}},
            r"\['policy'\]\['w'\] is float32\[3, 4\] in the checkpoint and float32\[3, 5\] here",
        ),
        ({"policy": {"w": jnp.zeros((3, 4), jnp.int32)}}, r"float32\[3, 4\] in the checkpoint and int32\[3, 4\] here"),
        ({"policy": {"v": jnp.zeros((3, 4))}}, r"the checkpoint has no \['policy'\]\['v'\]"),
    ],
)
def test_arrays_of_another_configuration_are_refused(other, message):
    with pytest.raises(InputError, match=message) as error:
        unflatten(other, flatten(TREE))
    assert "\n" not in str(error.value)
