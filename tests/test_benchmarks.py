"""The benchmark of the proxes: that it times what it says, against peers that compute the same, and says what is missing."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.benchmarks import _prox_lines, prox
from experiments.benchmarks._prox_cases import CASES, UNTIMED, class_name
from experiments.benchmarks._timing import exponent, measure, shown

ROOT = Path(__file__).parents[1]
# Points are draws of N(0, 1), below 5 in size: some tens of roundings of such a number.
TOLERANCE = {"float32": 1e-5, "float64": 2e-14}


@pytest.fixture(scope="module")
def quick() -> list[prox.Row]:
    return list(prox.rows(prox.QUICK, 1000, 3, 1.0))


def test_quick_times_three_penalties_in_both_dtypes(quick):
    assert [(row.name.split(",")[0], row.dtype) for row in quick] == [(name, d) for name in prox.QUICK for d in TOLERANCE]
    assert all(row.numbers == 1000 and row.seconds > 0 and row.compile > 0 for row in quick)


def test_the_answer_of_a_thousand_numbers_is_in_the_memory(quick):
    assert all(row.megabytes >= 1000 * np.dtype(row.dtype).itemsize / 1e6 for row in quick)


def test_peers_agree_to_rounding(quick):
    found = [(row.dtype, peer) for row in quick for peer in row.peers.values() if peer]
    assert len(found) == 2 * (3 + 1 + 3)  # L1 and GroupLasso have all three peers, MCP has NumPy's
    assert all(peer.difference <= TOLERANCE[dtype] and peer.ratio > 0 for dtype, peer in found)


def test_a_missing_peer_is_reported(quick):
    mcp = next(row for row in quick if row.name == "MCP")
    assert [name for name, peer in mcp.peers.items() if peer is None] == ["jaxopt", "SCICO-like"]
    assert shown(mcp.peers["jaxopt"]).strip() == "missing"


def test_a_wrong_peer_shows(monkeypatch):
    case = next(case for case in CASES if case.name == "L1")
    row = prox.row(case._replace(numpy=lambda x, lam: x), 100, "float32", 3, 1.0)
    assert row.peers["NumPy"].difference == pytest.approx(0.5)  # soft thresholding at 0.5 moves every larger number by that


def test_the_command_prints_a_row_for_each_dtype(capsys):
    prox.main(["--only", "MCP", "--size", "100", "--repeats", "3"])
    table = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("MCP")]
    assert [line[1:3] for line in table] == [["100", "float32"], ["100", "float64"]]
    assert all(line.count("missing") == 2 and len(line) == 11 for line in table)


@pytest.mark.parametrize("arguments", [["--size", "101"], ["--size", "50"], ["--only", "Lasso"]])
def test_arguments_that_mean_nothing_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        prox.main(arguments)
    assert arguments[0] in capsys.readouterr().err


def test_each_penalty_is_timed_or_it_is_said_why_not():
    assert set(prox.untimed()) == set(UNTIMED)


def test_slope_agrees_with_the_compiled_core_and_misses_a_peer(monkeypatch):
    monkeypatch.setitem(sys.modules, "skglm.utils.prox_funcs", None)  # the import then fails
    found = list(_prox_lines.lines(["SLOPE"], 300, 3, 1.0))
    assert len(found) == 2 * len(_prox_lines.STRENGTHS["SLOPE"])
    assert all(line.peers["scikit-learn"].difference <= TOLERANCE["float64"] and line.peers["skglm"] is None for line in found)


def test_blocks_stop_when_time_is_over_but_not_before_three():
    calls = {"a": lambda: np.zeros(1), "b": lambda: np.ones(1)}
    assert [len(t.seconds) for t in measure(calls, 9, 0.0).values()] == [3, 3]
    assert [len(t.seconds) for t in measure(calls, 5, 60.0).values()] == [5, 5]


def test_an_exponent_is_that_of_the_larger_half():
    assert exponent([1, 2, 4, 8, 16, 32], [100, 100, 100, 64, 256, 1024]) == pytest.approx(2)


@pytest.mark.slow
def test_scaling_prints_a_row_for_each_method_and_draws(tmp_path):
    out = tmp_path / "scaling.png"
    arguments = ["--axes", "λ", "folds", "--most", "50", "--repeats", "1", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.benchmarks.scaling", *arguments], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert all(done.stdout.count(f"  {method} ") == 2 for method in ("lasso", "elastic net", "ridge", "L1 logistic"))
    assert out.stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=class_name)
def test_every_peer_agrees(case):
    """Singular values reach 2√20 and sums of 400 numbers lose a digit.

    jaxopt's affine set is iterative: it stops at a residual of 1e-5 of the right side, whose length is 128 here, and the inverse of its
    system has norm 1. So is its box section, which halves until the equation holds to 1e-5.
    """
    row = prox.row(case, 400, "float64", 3, 0.0)
    for name, peer in row.peers.items():
        assert peer is None or peer.difference <= (2e-3 if name == "jaxopt" and class_name(case) in ("AffineSet", "BoxSection") else 1e-12)
