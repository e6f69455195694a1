import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu.training.checkpoint import RunFolder


def state(epoch):
    # A list and an array without entries: the one has no names, the other orbax refuses.
    return {"a": [jnp.full(3, float(epoch)), jnp.asarray(epoch)], "empty": jnp.zeros((0, 4))}


def records(epochs):
    return [
        {
            "member": k,
            "epoch": epoch,
            "valid_nll": 1 / (epoch + k),
            "valid_micro_f1": 0.5,
            "best": True,
        }
        for epoch in range(1, epochs + 1)
        for k in (0, 1)
    ]


def save(folder, epochs, best):
    for epoch in epochs:
        params = {"w": jnp.full(2, float(epoch))} if epoch in best else None
        folder.save(records(epoch), state(epoch), params)


def test_what_was_saved_is_loaded_by_a_new_folder(tmp_path):
    folder = RunFolder(tmp_path / "new" / "run")
    assert folder.records() == []
    save(folder, [1, 2, 3], best=[1, 2])
    folder.close()

    folder = RunFolder(tmp_path / "new" / "run")
    assert folder.records() == records(3)
    for epoch in (2, 3):  # the two last, so that a torn line can be survived
        loaded, best = folder.load(epoch, 2, state(9), {"w": jnp.zeros(2)})
        np.testing.assert_array_equal(loaded["a"][0], np.full(3, epoch))
        assert loaded["a"][1] == epoch
        assert loaded["a"][1].dtype == jnp.int32
        assert loaded["empty"].shape == (0, 4)
        np.testing.assert_array_equal(best["w"], [2, 2])
        # Not tied to a device, else programs would be compiled again for them.
        assert not any(x.committed for x in jax.tree.leaves((loaded, best)))
    folder.close()
    assert sorted(p.name for p in (tmp_path / "new" / "run" / "state").iterdir()) == ["2", "3"]


def test_metrics_have_one_line_per_member_and_epoch(tmp_path):
    folder = RunFolder(tmp_path)
    save(folder, [1, 2], best=[1])
    assert len(folder.metrics_path.read_text().splitlines()) == 4
    assert folder.metrics_path == tmp_path / "metrics.jsonl"
    folder.close()


@pytest.mark.parametrize("tear", ["{", '{"member": 0, "epoch": 3, "valid_nll": 0.', ""])
def test_a_torn_line_does_not_count_and_is_written_again(tmp_path, tear):
    folder = RunFolder(tmp_path)
    save(folder, [1, 2, 3], best=[1])
    lines = folder.metrics_path.read_text().splitlines(keepends=True)
    folder.metrics_path.write_text("".join(lines[:4]) + tear)
    assert folder.records() == records(2)
    save(folder, [3], best=[])
    assert folder.records() == records(3)
    assert folder.metrics_path.read_text() == "".join(lines)
    folder.close()


def test_nothing_counts_after_a_damaged_line(tmp_path):
    folder = RunFolder(tmp_path)
    save(folder, [1, 2], best=[1])
    first, _, *rest = folder.metrics_path.read_text().splitlines(keepends=True)
    folder.metrics_path.write_text(first + "{\n" + "".join(rest))
    assert folder.records() == records(2)[:1]
    folder.metrics_path.write_text("{\n")
    assert folder.records() == []
    folder.close()
