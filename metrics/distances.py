"""How the drawings as a set differ from real glyphs as a set: FD-glyph, MMD-glyph and diversity.

All three take the judge's features, float32 (n, dim): `drawn` of the drawings, `real` of held-out real glyphs for the
yardstick, and `reference` of the glyphs that the judge learned from.
"""

import numpy as np
import torch
from scipy import linalg

FEWEST = 50  # glyphs, below which a distance between sets says nothing
HALVES = 10  # for the spread
NEIGHBOURS = 5


def frechet_distance(one, other):
    """Between two sets of features (n, dim), (m, dim), taken as normal distributions.

    |m - n|² + trace(A + B - 2 (A B)^½) of the means m, n and the covariances A, B (Heusel et al. 2017,
    arXiv:1706.08500); 0 for the same set. By chance alone it grows as 1/n: compare what was measured at the same n.
    """
    covariances = [np.cov(features, rowvar=False, dtype=np.float64) for features in (one, other)]
    # the trace of (A B)^½ by the eigenvalues of A^½ B A^½, all real, also where few or equal drawings make A singular
    values, vectors = linalg.eigh(covariances[0])
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    crossed = linalg.eigvalsh(root @ covariances[1] @ root)
    difference = one.mean(0, dtype=np.float64) - other.mean(0, dtype=np.float64)
    traces = np.trace(covariances[0]) + np.trace(covariances[1])
    return float(difference @ difference + traces - 2 * np.sqrt(crossed.clip(0)).sum())


def kernel(one, other, width):
    """exp(-distance² / (2 width²)) of all pairs: (n, m)."""
    return torch.exp(-torch.cdist(torch.from_numpy(one), torch.from_numpy(other)).square() / (2 * width**2))


def mmd(drawn, reference, width, of_reference):
    """Unbiased squared maximum mean discrepancy x 1000, with an RBF kernel (Gretton et al. 2012, JMLR 13:723).

    About 0, below it too, for two samples of one distribution, whatever n. width: of the kernel, in units of the
    features. of_reference: the mean kernel between different reference glyphs.
    """
    crossed = kernel(drawn, reference, width).mean()
    return 1000 * float(mean_of_pairs(kernel(drawn, drawn, width)) + of_reference - 2 * crossed)


def mean_of_pairs(kernel):
    """The mean of a kernel (n, n) without its diagonal."""
    return (kernel.sum() - kernel.trace()) / (len(kernel) * (len(kernel) - 1))


def recall(drawn, reference):
    """The share of `reference` that lies within the drawings: nearer to one of them than its 5th nearest drawing is.

    Recall of Kynkäänniemi et al. 2019 (arXiv:1904.06991), as PRDC has it (Naeem et al. 2020, arXiv:2002.09797).
    """
    drawn, reference = torch.from_numpy(drawn), torch.from_numpy(reference)
    radius = torch.cdist(drawn, drawn).kthvalue(NEIGHBOURS + 1).values  # the nearest is the drawing itself
    return float((torch.cdist(reference, drawn) <= radius).any(1).float().mean())


def distances(drawn, real, reference, rng):
    """The figures fd_glyph, mmd_glyph and diversity of features (n, dim), drawn and real, as a dict.

    drawn and real are as many, and vary alike: where a word was drawn three times, so is a real character (see
    metrics.measure). The spread is 1.96 standard deviations over halves of the drawings, which is the standard error of
    all of them (the delete-half jackknife): a bootstrap would draw some twice, and count them as a lack of variety.
    """
    n = len(drawn)
    if n < FEWEST:
        why = f"at least {FEWEST} drawings with a held-out real one beside each are needed; there are {n}"
        return {key: {"not_computed": why} for key in ("fd_glyph", "mmd_glyph", "diversity")}
    some, as_many = (reference[np.sort(rng.permutation(len(reference))[:count])] for count in (2000, n))
    width = float(torch.pdist(torch.from_numpy(some)).median())  # the usual choice
    of_reference = mean_of_pairs(kernel(some, some, width))
    measures = {
        "fd_glyph": lambda features: frechet_distance(features, reference),
        "mmd_glyph": lambda features: mmd(features, some, width, of_reference),
        "diversity": lambda features: recall(features, as_many),
    }
    figures = {}
    for key, measure in measures.items():
        value = measure(drawn)
        halves = [measure(drawn[rng.permutation(n)[: n // 2]]) for _ in range(HALVES)]
        error = 1.96 * float(np.std(halves))
        figures[key] = {
            "value": value,
            "spread": [value - error, value + error if key != "diversity" else min(1.0, value + error)],
            "yardstick": measure(real),
            "n": n,
            "details": {
                "training glyphs": len(reference if key == "fd_glyph" else some if key == "mmd_glyph" else as_many)
            },
        }
    return figures
