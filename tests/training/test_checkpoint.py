import jax.numpy as jnp
import numpy as np
import pytest

from lddu.training.checkpoint import RunFolder


def state(epoch):
    # A list and an array without entries: the one has no names, the other orbax refuses.
    return {"a": [jnp.full(3, float(epoch)), jnp.asarray(epoch)], "empty": jnp.zeros((0, 4))}


def record(epoch):
    return {"epoch": epoch, "valid_nll": 1 / epoch}


def save(folder, epochs, best):
    for epoch in epochs:
        folder.save(record(epoch), state(epoch), {"w": jnp.ones(2)} if epoch in best else None)


def test_what_was_saved_is_loaded_by_a_new_folder(tmp_path):
    folder = RunFolder(tmp_path / "new" / "run")
    assert folder.history() == []
    save(folder, [1, 2, 3], best=[1, 2])
    folder.close()

    folder = RunFolder(tmp_path / "new" / "run")
    assert folder.history() == [record(e) for e in (1, 2, 3)]
    for epoch in (2, 3):  # the two last, so that a torn line can be survived
        loaded = folder.load_state(epoch, state(9))
        np.testing.assert_array_equal(loaded["a"][0], np.full(3, epoch))
        assert loaded["a"][1] == epoch
        assert loaded["a"][1].dtype == jnp.int32
        assert loaded["empty"].shape == (0, 4)
    np.testing.assert_array_equal(folder.load_best(2, {"w": jnp.zeros(2)})["w"], 1)
    folder.close()
    assert sorted(p.name for p in (tmp_path / "new" / "run" / "state").iterdir()) == ["2", "3"]


@pytest.mark.parametrize("tear", ["{", '{"epoch": 3, "valid_nll": 0.', ""])
def test_a_torn_last_line_does_not_count_and_is_written_again(tmp_path, tear):
    folder = RunFolder(tmp_path)
    save(folder, [1, 2, 3], best=[1])
    lines = folder.metrics_path.read_text().splitlines(keepends=True)
    folder.metrics_path.write_text("".join(lines[:2]) + tear)
    assert folder.history() == [record(1), record(2)]
    save(folder, [3], best=[])
    assert folder.history() == [record(1), record(2), record(3)]
    assert folder.metrics_path.read_text() == "".join(lines)
    folder.close()
