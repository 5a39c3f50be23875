"""PCA against NumPy's SVD, t-SNE against planted clusters and itself, and the painted patches."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from dino.errors import UserError
from dino.features import tsne_worker
from dino.features.projections import METHODS, PcaBasis, fit_pca, has_umap, pca_rgb, project

ROOT = Path(__file__).resolve().parents[2]


def spread(rows: int, channels: int, *, seed: int = 0, mean: float = 0) -> np.ndarray:
    """Features with clearly different variances along random directions."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.standard_normal((channels, channels)))[0]
    scales = 3.0 * 0.7 ** np.arange(channels)
    return mean + rng.standard_normal((rows, channels)) * scales @ directions.T


def three_clusters(each: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    centres = 8 * rng.standard_normal((3, 64))
    labels = np.repeat(np.arange(3), each)
    return centres[labels] + rng.standard_normal((3 * each, 64)), labels


def nearest_neighbour_purity(points: np.ndarray, labels: np.ndarray) -> float:
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    return float((labels[distances.argmin(axis=1)] == labels).mean())


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[subprocess.Popen[bytes]]:
    """The processes that t-SNE starts; its temporary files fall into `tmp_path`."""
    processes: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def remember(*args, **kwargs):
        processes.append(start(*args, **kwargs))
        return processes[-1]

    monkeypatch.setattr(tsne_worker.subprocess, "Popen", remember)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return processes


# --- PCA ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "channels"), [(200, 12), (12, 12), (9, 40)])
@pytest.mark.parametrize("dims", [2, 3])
def test_pca_equals_numpys_svd_of_the_centred_rows(rows: int, channels: int, dims: int) -> None:
    features = spread(rows, channels, mean=5)
    centred = features - features.mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    directions = np.stack([row * np.sign(row[np.abs(row).argmax()]) for row in directions])

    found = project(features, dims=dims)

    np.testing.assert_allclose(found.points, centred @ directions[:dims].T, rtol=0, atol=1e-5)
    expected = singular[:dims] ** 2 / (singular**2).sum()
    np.testing.assert_allclose(found.explained_variance, expected, rtol=1e-9)
    assert (found.points.dtype, found.points.shape) == (np.float32, (rows, dims))
    assert (found.method, found.seed) == ("pca", 0)


def test_pca_of_four_points_by_hand() -> None:
    # Half-widths 2 and 1: variances 4 and 1 of a total of 5; y is the first axis, x the second.
    features = np.array([[11.0, 7], [9, 7], [11, 3], [9, 3]])
    found = project(features)
    np.testing.assert_allclose(found.points, [[2, 1], [2, -1], [-2, 1], [-2, -1]], atol=1e-6)
    np.testing.assert_allclose(found.explained_variance, [0.8, 0.2])


def test_a_far_mean_costs_no_digits() -> None:
    features = spread(500, 8)
    near, far = project(features), project(features + 1e6)
    np.testing.assert_allclose(far.points, near.points, rtol=0, atol=1e-4)


def test_all_directions_explain_all_variance_and_fewer_explain_less() -> None:
    features = spread(50, 7)
    shares = fit_pca(features, 7).explained_variance
    assert sum(shares) == pytest.approx(1)
    assert list(shares) == sorted(shares, reverse=True)
    two = project(features).explained_variance
    assert two == pytest.approx(shares[:2])


@pytest.mark.parametrize(("rows", "channels"), [(120, 10), (10, 60)])
def test_signs_do_not_depend_on_the_order_of_the_rows(rows: int, channels: int) -> None:
    features = spread(rows, channels, mean=1)
    order = np.random.default_rng(1).permutation(rows)
    straight, shuffled = project(features, dims=3), project(features[order], dims=3)
    np.testing.assert_allclose(shuffled.points, straight.points[order], rtol=0, atol=1e-5)


def test_signs_hold_where_two_loadings_are_equal_up_to_rounding() -> None:
    along = np.random.default_rng(0).standard_normal(101)
    features = np.stack([along, -along], axis=1) / 3  # both loadings are ±√½
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(101)
        basis = fit_pca(features[order], 2)
        np.testing.assert_allclose(basis.components[0], [np.sqrt(0.5), -np.sqrt(0.5)], atol=1e-12)


def test_each_axis_has_its_largest_loading_positive() -> None:
    components = fit_pca(spread(200, 12), 5).components
    assert (components[np.arange(5), np.abs(components).argmax(axis=1)] > 0).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_torch_features_of_any_precision_are_read(dtype: torch.dtype) -> None:
    features = torch.tensor(spread(60, 6), dtype=dtype, requires_grad=True)
    expected = project(features.detach().double().numpy(), dims=3).points
    np.testing.assert_allclose(project(features, dims=3).points, expected, rtol=0, atol=1e-4)


INSTALLED = [method for method in METHODS if method != "umap" or has_umap()]


@pytest.mark.parametrize("method", INSTALLED)
@pytest.mark.parametrize("value", [0.0, 0.1, -1234.567])
def test_identical_rows_fall_on_one_point_and_explain_nothing(method: str, value: float) -> None:
    found = project(np.full((30, 5), value, np.float32), method=method, dims=3)
    np.testing.assert_array_equal(found.points, np.zeros((30, 3)))
    assert set(found.explained_variance or ()) == {0.0}


def test_rows_that_differ_by_rounding_only_count_as_identical() -> None:
    features = np.tile(np.linspace(1, 40, 16, dtype=np.float32), (25, 1))
    features[::2] = np.nextafter(features[::2], np.float32(np.inf))
    np.testing.assert_array_equal(project(features).points, np.zeros((25, 2)))


def test_axes_beyond_what_the_features_span_are_zero() -> None:
    line = project(np.array([[0.0, 0, 0, 1], [0, 0, 0, 3]]), dims=3)
    np.testing.assert_allclose(line.points, [[-1, 0, 0], [1, 0, 0]], atol=1e-7)
    assert line.explained_variance == pytest.approx((1, 0, 0))
    one_channel = project(np.array([[1.0], [2], [6]]))
    np.testing.assert_allclose(one_channel.points, [[-2, 0], [-1, 0], [3, 0]], atol=1e-7)


# --- t-SNE -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
def test_tsne_keeps_three_planted_clusters_apart(dims: int) -> None:
    features, labels = three_clusters()
    found = project(features, method="tsne", dims=dims, perplexity=15)
    assert (found.points.dtype, found.points.shape) == (np.float32, (120, dims))
    assert nearest_neighbour_purity(found.points, labels) >= 0.95
    assert np.linalg.matrix_rank(found.points - found.points.mean(0), tol=0.5) == dims


def test_tsne_records_what_it_used() -> None:
    features, _ = three_clusters(each=10)
    found = project(features, method="tsne", perplexity=30, seed=7)
    assert found.parameters["perplexity"] == pytest.approx(29 / 3)  # 30 rows
    assert found.parameters["perplexity_asked"] == 30
    assert found.parameters["pca_dims"] == len(found.explained_variance or ()) == 30
    assert (found.method, found.seed) == ("tsne", 7)
    json.dumps(found.parameters)


def test_tsne_is_given_50_scores_and_records_their_variance() -> None:
    features = spread(70, 64) + np.random.default_rng(0).standard_normal((70, 64))
    shares = project(features, method="tsne", perplexity=5).explained_variance
    assert shares == pytest.approx(fit_pca(features, 50).explained_variance)
    assert 0.9 < sum(shares or ()) < 1


def test_the_same_seed_gives_the_same_points_and_another_seed_others() -> None:
    features, labels = three_clusters(each=20)
    first, again, other = (
        project(features, method="tsne", perplexity=10, seed=seed).points for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    assert nearest_neighbour_purity(other, labels) > 0.95


@pytest.mark.parametrize("rows", [2, 3, 4, 7])
@pytest.mark.parametrize("dims", [2, 3])
def test_tsne_of_a_few_rows_is_finite(rows: int, dims: int) -> None:
    points = project(spread(rows, 5), method="tsne", dims=dims).points
    assert np.isfinite(points).all()
    assert len(np.unique(points, axis=0)) == rows


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_tsne_does_not_mind_the_scale_of_the_features(scale: float) -> None:
    features, labels = three_clusters(each=15)
    points = project(features * scale, method="tsne", perplexity=8).points
    assert nearest_neighbour_purity(points, labels) > 0.95


def test_two_groups_of_equal_rows_stay_two_groups() -> None:
    features = np.repeat([[0.0, 0, 1], [5, 5, 5]], 20, axis=0)
    points = project(features, method="tsne", perplexity=5).points
    assert np.isfinite(points).all()
    assert nearest_neighbour_purity(points, np.repeat([0, 1], 20)) > 0.95


# --- t-SNE in a process of its own --------------------------------------------------------------


def test_progress_rises_to_one_and_the_points_are_the_same_bits(started, tmp_path: Path) -> None:
    features, _ = three_clusters()
    calls: list[tuple[float, str]] = []
    watched = project(
        features, method="tsne", perplexity=15, seed=5, progress=lambda *call: calls.append(call)
    )
    alone = project(features, method="tsne", perplexity=15, seed=5)

    assert watched.points.tobytes() == alone.points.tobytes()
    assert watched.parameters == alone.parameters
    shares = [share for share, _ in calls]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert max(shares[:-1]) < 1
    assert sum("iteration" in message for _, message in calls) >= 10
    assert [process.returncode for process in started] == [0]  # one, ended and waited for
    assert not list(tmp_path.iterdir())


def test_pca_reports_its_end_too() -> None:
    calls: list[float] = []
    project(spread(20, 4), progress=lambda share, message: calls.append(share))
    assert calls == [0.0, 1.0]


class Cancel(BaseException):
    """What a page raises to be left: not an Exception, as Streamlit's own are not."""


@pytest.mark.parametrize("at", [0.05, 0.2])
def test_an_exception_in_progress_kills_the_child_and_goes_on(
    started, tmp_path: Path, at: float
) -> None:
    def progress(share: float, message: str) -> None:
        if share >= at:
            assert started[0].poll() is None  # at work
            raise Cancel(message)

    with pytest.raises(Cancel, match="t-SNE"):
        project(spread(900, 64), method="tsne", progress=progress)
    (process,) = started
    assert process.returncode == -signal.SIGKILL  # killed and waited for: no zombie
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
    assert not list(tmp_path.iterdir())


def test_a_child_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('no scikit-learn here')")
    monkeypatch.setattr(tsne_worker, "__file__", str(broken))
    with pytest.raises(RuntimeError, match=r"ended with code 1: no scikit-learn here"):
        project(spread(400, 300), method="tsne", progress=lambda share, message: None)


def test_the_child_runs_without_torch_and_beside_modules_of_any_name(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    (tmp_path / "dino.py").write_text("raise SystemExit('dino was imported')")
    settings = {"dims": 2, "perplexity": 5.0, "seed": 0, "threads": 1}
    reduced = np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32)
    np.save(tmp_path / "in.npy", reduced)
    child = subprocess.run(
        [sys.executable, "-P", "-u", tsne_worker.__file__, str(tmp_path / "out.npy")],
        input=json.dumps(settings).encode() + b"\n" + (tmp_path / "in.npy").read_bytes(),
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr.decode()
    assert b"[t-SNE] Iteration 1000:" in child.stdout
    expected = tsne_worker.embed(reduced, **settings)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)


def test_tsne_works_off_the_main_thread_with_torch_on_one_thread() -> None:
    features, _ = three_clusters(each=15)
    expected = project(features, method="tsne").points
    found: list[np.ndarray] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        work = threading.Thread(
            target=lambda: found.append(
                project(features, method="tsne", progress=lambda share, message: None).points
            )
        )
        work.start()
        work.join()
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(found[0], expected)


def test_importing_the_module_brings_neither_scikit_learn_nor_torch() -> None:
    code = "import sys, dino.features.projections; print(sorted({'torch', 'sklearn', 'scipy'} & {*sys.modules}))"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"


# --- Patches painted by their PCA ---------------------------------------------------------------


def test_pca_rgb_paints_the_first_axis_red_the_second_green_the_third_blue() -> None:
    # Three independent ramps of falling size, one a channel, over a grid of 8 × 16 × 2 = 256.
    index = np.arange(256)
    ramps = np.stack([index // 32, index // 2 % 16, index % 2], axis=1)
    features = (ramps - ramps.mean(0)) / ramps.std(0) * [9, 3, 1]
    picture = pca_rgb(features, (16, 16))
    assert (picture.dtype, picture.shape) == (np.uint8, (16, 16, 3))
    for channel, values in enumerate(ramps.T):
        expected = np.rint(255 * values / values.max())
        np.testing.assert_array_equal(picture[..., channel].ravel(), expected)


def test_pca_rgb_runs_from_the_1st_to_the_99th_percentile_whatever_the_outlier() -> None:
    features = np.zeros((400, 3))
    features[:, 0] = np.linspace(-1, 1, 400)
    usual = pca_rgb(features, (20, 20))
    features[7, 0] = -500
    with_outlier = pca_rgb(features, (20, 20))
    assert usual[..., 0].min() == 0
    assert usual[..., 0].max() == 255
    assert np.abs(with_outlier.astype(int) - usual)[..., 0].max() <= 2


def test_pca_rgb_shows_one_patch_that_stands_out_of_many_equal_ones() -> None:
    features = np.tile([3.0, 1, 2, 7], (400, 1))
    features[123] += [0, 5, 0, 0]
    picture = pca_rgb(features, (20, 20))
    red = picture[..., 0].ravel()
    assert red[123] == 255
    assert (np.delete(red, 123) == 0).all()
    assert (picture[..., 1:] == 128).all()


@pytest.mark.parametrize("rows", [1, 2, 12])
def test_pca_rgb_of_equal_patches_is_mid_grey(rows: int) -> None:
    features = np.full((rows, 384), 0.1, np.float32)
    np.testing.assert_array_equal(pca_rgb(features, (1, rows)), np.full((1, rows, 3), 128))


def test_pca_rgb_of_fewer_than_three_directions_leaves_the_rest_mid_grey() -> None:
    picture = pca_rgb(torch.linspace(0, 1, 6)[:, None], (2, 3))
    assert len(np.unique(picture[..., 0])) == 6
    assert (picture[..., 1:] == 128).all()


def test_a_shared_basis_gives_the_same_feature_the_same_colour() -> None:
    features = spread(80, 10)
    basis = fit_pca(features, 3)
    whole = pca_rgb(features, (8, 10), basis=basis)
    np.testing.assert_array_equal(whole, pca_rgb(features, (8, 10)))
    part = pca_rgb(features[20:50], (3, 10), basis=basis)
    np.testing.assert_array_equal(part, whole[2:5])


# --- What cannot be used ------------------------------------------------------------------------

GOOD = spread(10, 4)
NAN = np.where(np.arange(40).reshape(10, 4) == 13, np.nan, GOOD)


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        (GOOD[0], {}, r"shape \[4\]; expected \[M, D\]"),
        (GOOD[None], {}, r"shape \[1, 10, 4\]; expected \[M, D\]"),
        (np.zeros((5, 0)), {}, r"shape \[5, 0\]; expected \[M, D\]"),
        (GOOD[:1], {}, r"1 rows; expected at least 2"),
        (GOOD[:0], {}, r"0 rows; expected at least 2"),
        (NAN, {}, r"1 rows with NaN or infinity, the first at 3; expected finite"),
        (
            torch.tensor([[1.0, torch.inf], [0, 0]]),
            {},
            r"1 rows with NaN or infinity, the first at 0",
        ),
        ([["a"], ["b"]], {}, r"list that cannot be read as numbers; expected an array"),
        (GOOD, {"method": "isomap"}, r"method is 'isomap'; expected one of"),
        (GOOD, {"dims": 4}, r"dims is 4; expected 2 or 3"),
        (GOOD, {"seed": -1}, r"seed is -1; expected a whole number"),
        (GOOD, {"seed": 0.5}, r"seed is 0.5; expected a whole number"),
        (GOOD, {"method": "tsne", "perplexity": 0.5}, r"perplexity is 0.5; expected a number"),
        (GOOD, {"method": "tsne", "perplexity": np.nan}, r"perplexity is nan; expected a number"),
        (GOOD, {"method": "tsne", "perplexity": "9"}, r"perplexity is '9'; expected a number"),
    ],
)
def test_bad_input_is_named_in_one_sentence(features, options, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        project(features, **options)
    sentence = str(caught.value)
    assert "expected" in sentence
    assert ": " in sentence  # the remedy
    assert "\n" not in sentence


def test_a_grid_or_a_basis_that_does_not_fit_is_named() -> None:
    with pytest.raises(
        UserError, match=r"10 patches and a grid of 3 × 4; expected one patch a cell"
    ):
        pca_rgb(GOOD, (3, 4))
    with pytest.raises(UserError, match=r"has 2 components; expected 3"):
        pca_rgb(GOOD, (2, 5), basis=fit_pca(GOOD, 2))
    basis: PcaBasis = fit_pca(GOOD, 3)
    with pytest.raises(UserError, match=r"3 channels and the PCA basis 4; expected the same"):
        pca_rgb(GOOD[:, :3], (2, 5), basis=basis)
