"""What a training shows."""

from lddu.callbacks import Start
from lddu.training.progress import Progress


def show(watched, cfg):
    """Shows two epochs of one member."""
    progress = Progress(watched)
    progress.start(Start(cfg, (0,), 0, 3, None))
    for epoch in (1, 2):
        progress.step(3 * epoch, {})
        scores = {"train_nll": 0.5, "valid_nll": 0.25, "valid_micro_f1": 0.125}
        progress.epoch([{"member": 0, "epoch": epoch, **scores}])
    progress.end([])


def test_without_a_terminal_each_epoch_is_a_line(tiny_config, capsys):
    show(False, tiny_config)
    lines = capsys.readouterr().err.splitlines()
    name = f"member 1/{tiny_config.train.members}"
    scores = "loss 0.5000, valid_nll 0.2500, micro_f1 0.125"
    assert lines == [f"{name}: epoch {e}/{tiny_config.train.epochs}: {scores}" for e in (1, 2)]


def test_a_terminal_gets_a_bar(tiny_config, capsys):
    show(True, tiny_config)
    shown = capsys.readouterr().err
    assert "6/6" in shown
    assert "valid_nll=0.2500" in shown


def test_the_form_is_found_out(tiny_config, capsys):
    show(None, tiny_config)  # pytest captures standard error, so there is no terminal
    assert "epoch 1/" in capsys.readouterr().err
