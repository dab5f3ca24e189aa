"""Does a drawing pass as a character? A critic on the judge's maps, taught real characters against broken ones.

The pass mark is where 95% of held-out real characters pass. How near a drawing is to real ones, by whatever distance,
does not tell: a chimera of two real characters is nearer than many a real one (AUC 0.05 to 0.6).
"""

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from metrics.corruptions import CORRUPTIONS
from metrics.figures import CASES, resampled
from metrics.glyphs import fitted
from metrics.judge import build_critic

BROKEN = ("chimera", "part_swap", "overlay", "stroke_salad", "mirror", "random_curves", "blots", "blur")
PASS = 0.95  # of held-out real characters
FEWEST = 500  # characters to learn from
EACH = 2500  # broken characters of a kind


def broken(glyphs, family, rng):
    """`glyphs` (n, side, side) made wrong as `family` says, brought to one size, tone and margin as drawings are."""
    return np.stack([fitted(glyph, glyphs.shape[1]) for glyph in CORRUPTIONS[family](glyphs, rng)])


def fit_critic(good, bad, seed=0, steps=1000):
    """Teach a critic what real glyphs look like to the judge, maps (n, dim), against broken ones (m, dim)."""
    torch.manual_seed(seed)
    critic = build_critic(good.shape[1])
    optimizer = torch.optim.AdamW(critic.parameters(), 3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    good, bad, wanted = torch.from_numpy(good), torch.from_numpy(bad), torch.cat([torch.ones(128), torch.zeros(128)])
    for _ in range(steps):
        batch = torch.cat([part[torch.randint(len(part), (128,))] for part in (good, bad)])
        loss = nn.functional.binary_cross_entropy_with_logits(critic(batch)[:, 0], wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return critic.eval()


def make_critic(maps, glyphs, held, seed=0):
    """-> the critic, and how well one that was never taught a family tells it from real glyphs: {family: AUC}.

    maps: glyphs (n, side, side) -> (n, dim), the judge's. glyphs: real ones that the judge learned from; held: real
    ones that it did not. New legal pairs are taught as real, so that what is new is not wrong by that alone.
    """
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    some = glyphs[rng.permutation(len(glyphs))[:EACH]]
    good = np.concatenate([maps(glyphs), maps(broken(some, "new_legal_pairs", rng))])
    families = tqdm(BROKEN, "broken characters", unit="family")
    bad = {family: maps(broken(some, family, rng)) for family in families}
    real, aucs = maps(held), {}
    for family in tqdm(BROKEN, "critics", unit="critic"):
        others = np.concatenate([seen for other, seen in bad.items() if other != family])
        critic, unseen = fit_critic(good, others, seed), maps(broken(held, family, rng))
        told = scores(critic, np.concatenate([real, unseen]))
        aucs[family] = float(roc_auc_score(np.repeat([1, 0], [len(real), len(unseen)]), told))
    return fit_critic(good, np.concatenate(list(bad.values())), seed), aucs


@torch.no_grad()
def scores(critic, maps):
    """How much the critic takes maps (n, dim) for a character's, in logits (n,)."""
    return critic(torch.from_numpy(maps))[:, 0].numpy()


def legibility(real, look, groups=None):
    """The figure of drawings as the judge looked at them (n); real: a Yardstick. A case's score is in logits."""
    critic = real.judge.critic
    if critic is None or len(real.held) < 100:
        learned, held = real.judge.info["learned_from"], len(real.held)
        why = f"a critic needs {FEWEST} characters to learn and 100 held out; there are {learned} and {held}"
        return {"not_computed": why}
    drawn, held = scores(critic, look.maps), scores(critic, real.held_look.maps)
    mark = np.quantile(held, 1 - PASS, method="lower")
    passed = drawn >= mark
    order = [{"index": int(place), "score": float(drawn[place])} for place in np.argsort(-drawn, kind="stable")]
    told_apart = {f"AUC against {family}, not taught": auc for family, auc in real.judge.info["critic"].items()}
    return {
        "value": float(passed.mean()),
        "spread": resampled(passed, groups),
        "yardstick": float((held >= mark).mean()),
        "n": len(drawn),
        "details": {"pass mark": float(mark)} | told_apart,
        "cases": {"best": order[:CASES], "worst": order[::-1][:CASES]},
    }
