"""Merging that has looked at data: Fisher, RegMean and learned soups.

`fisher` and `grams` measure one model on its data, once; what they return is saved as a
file and used without the data. `INFORMED` says what is true of each method.
"""

from dale.merge.informed.fisher import fisher, fisher_merge
from dale.merge.informed.learned import LearnedSoup, learned_soup, mixed_by
from dale.merge.informed.regmean import grams, regmean
from dale.merge.informed.statistics import Statistics, load_statistics
from dale.merge.method import Method

__all__ = [
    "INFORMED",
    "LearnedSoup",
    "Statistics",
    "fisher",
    "fisher_merge",
    "grams",
    "learned_soup",
    "load_statistics",
    "mixed_by",
    "regmean",
]

INFORMED: dict[str, Method] = {
    "fisher": Method(
        fisher_merge,
        "mean weighted by Fisher information, element by element",
        "Matena and Raffel (2022), arXiv 2111.09832",
        scope="model",
        idempotent=True,
        symmetric=True,
        needs_data=True,
    ),
    "regmean": Method(
        regmean,
        "linear layers whose outputs change least, in closed form",
        "Jin et al. (2023), arXiv 2212.09849",
        scope="model",
        idempotent=True,
        symmetric=True,
        needs_data=True,
    ),
    "learned_soup": Method(
        learned_soup,
        "shares by gradient on held-out examples, by layer or for all",
        "Wortsman et al. (2022), arXiv 2203.05482",
        scope="model",
        idempotent=True,
        symmetric=True,
        streams=False,
        needs_data=True,
    ),
}
"""Methods that need data, or statistics of data."""
