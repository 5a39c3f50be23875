"""Features → points in 2 or 3 dimensions (PCA, t-SNE, UMAP if installed), and patches painted by PCA.

    points = project(tokens.patches[0], method="tsne", dims=2, seed=0).points
    picture = pca_rgb(tokens.patches[0], tokens.grid)

Axes have no sign of their own: each is turned so that its largest loading is positive, which does
not depend on the order of the rows. Two axes of equal variance remain a plane without directions.
"""

import importlib.util
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from dino.errors import UserError
from dino.features import tsne_worker
from dino.features.tsne_worker import OnShareDone

if TYPE_CHECKING:
    from torch import Tensor

Features: TypeAlias = "np.ndarray | Tensor"

METHODS = ("pca", "tsne", "umap")
# t-SNE measures distances among this many PCA scores (van der Maaten & Hinton 2008, §4.2: 30).
TSNE_PCA_DIMS = 50
# Loadings this close to the largest count as equal; the first of them decides the sign.
_TIE = 1e-6
_MID_GREY = 128
_UMAP_MIN_DIST = 0.1  # umap-learn's own default


@dataclass(frozen=True)
class PcaBasis:
    """Directions found in some features, to see others in the same directions and colours.

    `mean` [D], `components` [dims, D] orthonormal or all zero where the features have no further
    direction, `explained_variance` [dims] as ratios, `low` and `high` [dims] the 1st and 99th
    percentiles of the scores it was fitted on (the least and the largest where those are equal),
    `solver` scikit-learn's.
    """

    mean: np.ndarray
    components: np.ndarray
    explained_variance: tuple[float, ...]
    low: np.ndarray
    high: np.ndarray
    solver: str

    def scores(self, features: Features) -> np.ndarray:
        """Compute coordinates of features [M,D] along the components, float64 [M,dims]."""
        matrix = _matrix(features, at_least=1)
        if matrix.shape[1] != len(self.mean):
            raise UserError(
                f"features have {matrix.shape[1]} channels and the PCA basis {len(self.mean)}; "
                "expected the same number: use the weights the basis was fitted with"
            )
        return (matrix - self.mean) @ self.components.T


@dataclass(frozen=True)
class Projection:
    """Points that stand for features, and how they were made.

    `points` [M,dims] float32, `method` "pca", "tsne" or "umap", `parameters` fit for JSON,
    `explained_variance` ratios: of each axis for PCA, of each score the others were given.
    """

    points: np.ndarray
    method: str
    parameters: dict[str, Any]
    seed: int
    explained_variance: tuple[float, ...]


def project(
    features: Features,
    *,
    method: str = "pca",
    dims: int = 2,
    seed: int = 0,
    perplexity: float = 30,
    progress: OnShareDone | None = None,
) -> Projection:
    """Project features to points in 2 or 3 dimensions.

    Args:
        features: [M,D], at least 2 rows, finite; NumPy or torch.
        method: "pca", "tsne" (PCA to 50 scores, then t-SNE by Barnes and Hut), or "umap" (PCA
            likewise, then UMAP of McInnes et al. 2018; umap-learn must be installed).
        dims: 2 or 3. Where the features span fewer, the other axes of PCA are 0.
        seed: of t-SNE and UMAP, 0 to 2³² − 1; PCA has no use for it.
        perplexity: t-SNE's neighbourhood size in rows, at least 1. Lowered to (M − 1) / 3, the most
            that M rows allow; what was used is in the parameters. UMAP takes it, in whole rows from
            2 to M − 1, as its number of neighbours.
        progress: called with the share done, never falling and 1.0 at the end, and what is being
            done. t-SNE then runs in a process of its own, to the same points; an exception raised
            here stops it and goes on to the caller. UMAP reports its beginning only.
    Raises:
        UserError: fewer than 2 rows, a value that is not finite, a bad method, dims, seed or
            perplexity, or UMAP where umap-learn is not installed.
    """
    _check(method, dims, seed, perplexity)
    matrix = _matrix(features, at_least=2)
    report = progress or (lambda done, message: None)
    report(0.0, f"PCA of {matrix.shape[0]} × {matrix.shape[1]} features")
    kept = dims if method == "pca" else min(TSNE_PCA_DIMS, *matrix.shape)
    basis = _fit(matrix, kept, _rounding(features, matrix))
    points, parameters = basis.scores(matrix), {"solver": basis.solver}
    if method == "tsne":
        points, parameters = _tsne(points, dims, seed, perplexity, progress)
    elif method == "umap":
        report(0.1, "UMAP")
        points, parameters = _umap(points, dims, seed, perplexity)
    points = points.astype(np.float32)
    report(1.0, f"{len(points)} points in {dims} dimensions")
    return Projection(points, method, parameters, int(seed), basis.explained_variance)


def fit_pca(features: Features, dims: int) -> PcaBasis:
    """Find the `dims` directions in which features [M,D] vary most.

    A direction whose variance is no more than rounding is left out: zeros in its row.
    """
    matrix = _matrix(features, at_least=1)
    return _fit(matrix, dims, _rounding(features, matrix))


def pca_rgb(
    patches: Features, grid: tuple[int, int], *, basis: PcaBasis | None = None
) -> np.ndarray:
    """Paint patches [N,D] by their first three components as red, green and blue: uint8 [h,w,3].

    Each channel runs from the 1st to the 99th percentile rather than from the least to the largest
    score: a few patches of outlying norm, common in ViTs, would leave all others one grey. A
    component in which all patches agree is mid grey (128).

    Args:
        grid: (h, w) with h·w = N.
        basis: of `fit_pca(…, 3)`, to paint several photos alike: same feature, same colour.
    """
    matrix = _matrix(patches, at_least=1)
    if grid[0] * grid[1] != len(matrix):
        raise UserError(
            f"there are {len(matrix)} patches and a grid of {grid[0]} × {grid[1]}; expected one "
            "patch a cell: pass the patches and the grid of the same Tokens"
        )
    basis = basis or fit_pca(patches, 3)
    if len(basis.components) != 3:
        raise UserError(
            f"the PCA basis has {len(basis.components)} components; expected 3, one a colour: "
            "make it with fit_pca(features, 3)"
        )
    scores, span = basis.scores(patches), basis.high - basis.low
    share = (scores - basis.low) / np.where(span > 0, span, 1)
    levels = np.where(span > 0, np.rint(255 * share.clip(0, 1)), _MID_GREY)
    return levels.astype(np.uint8).reshape(*grid, 3)


def _fit(matrix: np.ndarray, dims: int, rounding: float) -> PcaBasis:
    mean = matrix.mean(axis=0)
    centred = matrix - mean
    variance = (centred**2).sum(axis=1).mean()
    components, ratios = np.zeros((dims, matrix.shape[1])), np.zeros(dims)
    # Of many rows the small covariance matrix is decomposed; of few the rows themselves. Centred
    # before, since the covariance loses digits where the mean is larger than the spread.
    solver = "covariance_eigh" if matrix.shape[0] >= matrix.shape[1] else "full"
    if variance > rounding:
        from sklearn.decomposition import PCA

        kept = min(dims, *matrix.shape)
        model = PCA(n_components=kept, svd_solver=solver).fit(centred)
        real = model.explained_variance_ratio_ * variance > max(rounding, 1e-13 * variance)
        components[:kept] = np.where(real[:, None], _turned(model.components_), 0)
        ratios[:kept] = np.where(real, model.explained_variance_ratio_, 0)
    scores = centred @ components.T
    low, high = np.percentile(scores, (1, 99), axis=0)
    few = high - low <= 1e-9 * np.ptp(scores, axis=0)  # less than 1 % of the rows stand out
    low, high = np.where(few, scores.min(axis=0), low), np.where(few, scores.max(axis=0), high)
    return PcaBasis(mean, components, tuple(ratios.tolist()), low, high, solver)


def _tsne(
    scores: np.ndarray, dims: int, seed: int, perplexity: float, progress: OnShareDone | None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Compute points and parameters; `scores` float64 [M,K] in falling order of variance."""
    used = min(float(perplexity), max(1.0, (len(scores) - 1) / 3))
    parameters = {
        "perplexity": used,
        "perplexity_asked": float(perplexity),
        "pca_dims": scores.shape[1],
        "learning_rate": "auto",
        "init": "pca with jitter",
        "iterations": tsne_worker.ITERATIONS,
    }
    if not scores.any():  # all rows are equal: all points in one place
        return np.zeros((len(scores), dims)), parameters
    reduced = (scores / scores[:, 0].std()).astype(np.float32)
    settings: dict[str, Any] = {
        "dims": int(dims),
        "perplexity": used,
        "seed": int(seed),
        "threads": tsne_worker.num_threads(),
    }
    if progress is None:
        return tsne_worker.embed(reduced, **settings), parameters
    return tsne_worker.embed_in_child(reduced, progress=progress, **settings), parameters


def has_umap() -> bool:
    """Whether umap-learn is installed."""
    return importlib.util.find_spec("umap") is not None


def _umap(
    scores: np.ndarray, dims: int, seed: int, neighbours: float
) -> tuple[np.ndarray, dict[str, Any]]:
    """Compute points and parameters, as `_tsne`."""
    used = int(np.clip(round(neighbours), 2, max(2, len(scores) - 1)))
    parameters = {"n_neighbors": used, "pca_dims": scores.shape[1], "min_dist": _UMAP_MIN_DIST}
    if len(scores) <= dims + 1 or not scores.any():  # too few for its graph, or all in one place
        points = np.zeros((len(scores), dims))
        points[:, : scores.shape[1]] = scores[:, :dims]
        return points, parameters
    import umap

    model = umap.UMAP(
        n_components=int(dims),
        n_neighbors=used,
        min_dist=_UMAP_MIN_DIST,
        init="random" if len(scores) <= 2 * dims + 2 else "spectral",
        random_state=int(seed),
        n_jobs=1,
    )
    return np.asarray(model.fit_transform(scores.astype(np.float32))), parameters


def _turned(components: np.ndarray) -> np.ndarray:
    """Turn components [K,D] so that the first of each one's largest loadings is positive."""
    size = np.abs(components)
    first = (size >= (1 - _TIE) * size.max(axis=1, keepdims=True)).argmax(axis=1)
    return components * np.sign(components[np.arange(len(components)), first])[:, None]


def _rounding(features: Features, matrix: np.ndarray) -> float:
    """Estimate the variance of a row that rounding alone explains."""
    # float16 and bfloat16 too come out of sums in float32.
    single = str(getattr(features, "dtype", "")).endswith(("float32", "float16"))
    step = np.finfo(np.float32 if single else np.float64).eps
    return float(step**2 * (matrix**2).sum(axis=1).mean())


def _matrix(features: Features, *, at_least: int) -> np.ndarray:
    """Take features of any kind as float64 [M,D]."""
    tensor: Any = features
    try:
        array = tensor.detach().cpu().double().numpy() if hasattr(tensor, "detach") else tensor
        matrix = np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"features are {type(features).__name__} that cannot be read as numbers; expected an "
            "array [M, D]: pass a NumPy array or a torch tensor"
        ) from error
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise UserError(
            f"features have shape {list(matrix.shape)}; expected [M, D], one row a patch or photo: "
            "select one picture of a batch, or flatten the grid"
        )
    if len(matrix) < at_least:
        raise UserError(
            f"features have {len(matrix)} rows; expected at least {at_least}: use a larger picture "
            "or more photos"
        )
    bad = ~np.isfinite(matrix).all(axis=1)
    if bad.any():
        raise UserError(
            f"features have {bad.sum()} rows with NaN or infinity, the first at {bad.argmax(axis=None)}; "
            "expected finite numbers: try precision fp32 or check the weights"
        )
    return matrix


def _check(method: str, dims: int, seed: int, perplexity: float) -> None:
    if method not in METHODS:
        raise UserError(f"method is {method!r}; expected one of {METHODS}: try 'pca'")
    if method == "umap" and not has_umap():
        raise UserError(
            "UMAP needs umap-learn, which is not installed; expected a method that is: try 'tsne', "
            "or `pip install umap-learn`"
        )
    if dims not in (2, 3):
        raise UserError(f"dims is {dims!r}; expected 2 or 3: choose 2 for a flat picture")
    if not isinstance(seed, Integral) or not 0 <= seed < 2**32:
        raise UserError(f"seed is {seed!r}; expected a whole number from 0 to 2³² − 1: try 0")
    if method != "pca" and not (isinstance(perplexity, Real) and 1 <= perplexity < np.inf):
        raise UserError(
            f"perplexity is {perplexity!r}; expected a number of rows, at least 1: try 30"
        )
