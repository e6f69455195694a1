import struct
import subprocess
import sys

from lddu import plots
from lddu.plots import style


def test_axes_and_figures_show_themselves_in_a_notebook():
    ax = plots.risk_coverage({"a": ([0.5, 1.0], [0.1, 0.2])})
    for shown in (ax, ax.figure):
        data, size = shown._repr_png_()
        assert data.startswith(b"\x89PNG")
        # Drawn at twice the size it is shown.
        assert struct.unpack(">II", data[16:24]) == (2 * size["width"], 2 * size["height"])


def test_a_dollar_in_a_name_is_drawn_and_no_formula():
    ax = plots.risk_coverage({"$x_{": ([0.5, 1.0], [0.1, 0.2])})
    ax.figure.canvas.draw()  # an unclosed formula would raise here
    assert style.escape("a$b") == r"a\$b"


def test_plots_leave_pyplot_alone_and_lddu_leaves_plots_alone():
    script = (
        "import sys, lddu; assert 'matplotlib' not in sys.modules; import lddu.plots;"
        "lddu.plots.risk_coverage({'a': ([1.0], [0.5])}).figure.savefig('/dev/null', format='svg');"
        "assert 'matplotlib' in sys.modules; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_without_matplotlib_the_error_says_what_to_install():
    script = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import lddu.runs.report\n"  # the report module itself needs no matplotlib
        "try: import lddu.plots\n"
        "except ImportError as error: assert \"pip install 'lddu[viz]'\" in str(error)\n"
        "else: raise SystemExit(1)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
