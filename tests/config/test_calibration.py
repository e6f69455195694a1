from typing import get_args

import pytest

from lddu.calibration import CALIBRATORS
from lddu.config import CalibrationConfig, CalibrationMethod, Config, replace


def test_methods_are_the_calibrators_there_are():
    assert set(get_args(CalibrationMethod)) == {*CALIBRATORS, "choose"}


@pytest.mark.parametrize("method", get_args(CalibrationMethod))
def test_every_method_survives_json(tiny, method):
    for shrinkage in (None, 2.5):
        changes = {"calibration.method": method, "calibration.shrinkage": shrinkage}
        cfg = replace(tiny, changes)
        assert Config.from_json(cfg.to_json()) == cfg


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CalibrationConfig(method="all"), "calibration: method='all'; choose.*'isotonic'"),
        (lambda: CalibrationConfig(anchor="zero"), "calibration: anchor='zero'; choose"),
        (lambda: CalibrationConfig(thresholds="none"), "calibration: thresholds='none'; choose"),
        (lambda: CalibrationConfig(shrinkage=-1.0), "calibration: shrinkage=-1.0 must be finite"),
        (lambda: CalibrationConfig(shrinkage=float("inf")), "shrinkage=inf must be finite"),
        (lambda: CalibrationConfig("platt", shrinkage=0.0), "must be > 0 for method='platt'.*None"),
        (lambda: CalibrationConfig("choose", shrinkage=0.0), "must be > 0 for method='choose'"),
    ],
)
def test_wrong_values_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
