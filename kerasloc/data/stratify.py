"""Stratified splits of images by whole groups (such as patients).

scikit-learn's ``StratifiedGroupKFold`` stratifies by one label per image; these take
any number of strata, and unequal shares.
"""

import numpy as np


def choose_groups(
    strata: np.ndarray, groups: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Choose groups that hold about a share of every stratum.

    Random groups, as long as they bring the strata closer to their share; then the
    smallest that fill strata which have none. Every stratum keeps an image.

    Args:
        strata: Membership of each image, (images, strata) int.
        groups: Number of the group of each image, (images,) int.
        share: Share of the images, between 0 and 1.
        rng: Generator of the order of the groups.

    Returns:
        Mask of the images of the chosen groups, (images,).

    Examples:
        >>> groups = np.array([0, 0, 1, 1, 2, 2, 3, 3])
        >>> strata = np.ones((8, 1), int)
        >>> int(choose_groups(strata, groups, 0.5, np.random.default_rng(0)).sum())
        4
    """
    counts = _sum_by_group(strata, groups)
    total = counts.sum(axis=0)
    target = np.clip(np.round(share * total), 1, np.maximum(total - 1, 1))
    have = np.zeros_like(total)
    chosen = np.zeros(len(counts), bool)

    def leaves_some(new, group):
        return (new < total)[counts[group] > 0].all()

    for group in rng.permutation(len(counts)):
        new = have + counts[group]
        change = np.abs(target - new) / target - np.abs(target - have) / target
        if change.sum() < 0 and leaves_some(new, group):
            chosen[group], have = True, new
    for stratum in np.flatnonzero((have == 0) & (total > 1)):
        candidates = np.flatnonzero((counts[:, stratum] > 0) & ~chosen)
        by_size = np.argsort(counts[candidates].sum(axis=1), kind="stable")
        for group in candidates[by_size]:
            new = have + counts[group]
            if have[stratum] == 0 and leaves_some(new, group):
                chosen[group], have = True, new
    return chosen[groups]


def deal_groups(
    strata: np.ndarray, groups: np.ndarray, shares: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Deal groups to shares, so that every stratum is shared alike.

    Larger groups first, each to the share where the squares of the missing counts
    shrink most.

    Args:
        strata: Membership of each image, (images, strata) float: those with boxes,
            those without, and others, which together weigh as much as either of these.
        groups: Number of the group of each image, (images,) int.
        shares: Size of each share, (shares,), sum 1.
        rng: Generator of the order of groups of about the same size.

    Returns:
        Index of the share of each image, (images,).

    Examples:
        >>> strata = np.tile([1.0, 0.0, 1.0], (6, 1))
        >>> groups = np.array([0, 0, 1, 2, 3, 4])
        >>> deal_groups(strata, groups, np.array([0.5, 0.5]), np.random.default_rng(0))
        array([0, 0, 0, 1, 1, 1])
    """
    counts = _sum_by_group(strata, groups)
    boxed = counts[:, 0] > 0
    sizes = counts[:, :2].sum(axis=1)
    relative = counts / np.maximum(counts.sum(axis=0), 1)
    weights = np.ones(counts.shape[1])
    weights[:2] = len(weights) - 2
    size_class = np.frexp(sizes)[1]  # equal within a factor of two
    order = np.lexsort((rng.permutation(len(counts)), -size_class, ~boxed))
    missing = np.repeat(shares[:, None], len(weights), axis=1)  # (shares, strata)
    dealt = np.zeros(len(counts), int)
    for group in order:
        gain = ((2 * missing - relative[group]) * relative[group]) @ weights / shares
        dealt[group] = gain.argmax()
        missing[dealt[group]] -= relative[group]
    for members in (boxed, np.ones(len(counts), bool)):
        for share in range(len(shares)) if members.sum() >= len(shares) else ():
            held = np.bincount(dealt[members], minlength=len(shares))
            if not held[share]:  # the smallest group of the largest share fills it
                candidates = np.flatnonzero(members & (dealt == held.argmax()))
                dealt[candidates[sizes[candidates].argmin()]] = share
    return dealt[groups]


def _sum_by_group(strata: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sum of the strata over the images of each group, (groups, strata)."""
    counts = np.zeros((groups.max(initial=-1) + 1, strata.shape[1]), strata.dtype)
    np.add.at(counts, groups, strata)
    return counts
