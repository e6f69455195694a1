"""The main job end to end on embedded synthetic data: train, calibrate, evaluate, report.

    python experiments/demo.py

The data have a known law, so the table can name the best scores that any predictor could reach
(`bayes`). Writes `results.json`, `report.html` and the trained predictor to the run folder. The
command `lddu demo` does the same.
"""

import tyro

from lddu.cli.demo import demo

if __name__ == "__main__":
    tyro.cli(demo, description=__doc__)
