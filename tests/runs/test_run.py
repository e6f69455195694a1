def test_the_table_of_a_run_is_that_of_its_predictions(make_run):
    predictions = make_run().predictions
    run = make_run(table=predictions.table())
    assert list(run.table) == ["base", "lddu"]
    scores = predictions.models["lddu"].scores(predictions.labels)
    assert run.table["lddu"]["nll"] == {"mean": scores[0]["nll"], "std": 0.0, "n": 1}


def test_the_command_is_that_of_the_process_unless_given(make_run, monkeypatch):
    monkeypatch.setattr("sys.argv", ["experiments/demo.py", "--seed", "1"])
    given = {name: getattr(make_run(), name) for name in ("config", "predictions", "table")}
    run = type(make_run())("A run", **given, seconds=1.0)
    assert run.command == "python experiments/demo.py --seed 1"
