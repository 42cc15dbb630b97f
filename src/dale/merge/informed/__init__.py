"""Merging that has looked at data, or at statistics of data.

`fisher`, `grams` and `covariances` measure one model on its data, once; what they
return is saved as a file and used without the data. `INFORMED` says what is true of
each method.
"""

from dale.merge.informed.covariance import covariances, unit_importance
from dale.merge.informed.cpis import Imported, cpis
from dale.merge.informed.entropy import Confident, adamerging
from dale.merge.informed.fisher import fisher, fisher_merge
from dale.merge.informed.layers import import_layers
from dale.merge.informed.learned import LearnedSoup, learned_soup
from dale.merge.informed.mixing import mixed_by
from dale.merge.informed.moving import importance_merge
from dale.merge.informed.regmean import grams, regmean
from dale.merge.informed.statistics import Statistics, load_statistics
from dale.merge.method import Method

__all__ = [
    "INFORMED",
    "Confident",
    "Imported",
    "LearnedSoup",
    "Statistics",
    "adamerging",
    "covariances",
    "cpis",
    "fisher",
    "fisher_merge",
    "grams",
    "import_layers",
    "importance_merge",
    "learned_soup",
    "load_statistics",
    "mixed_by",
    "regmean",
    "unit_importance",
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
    "importance_fisher": Method(
        importance_merge,
        "moving average, every parameter by its importance in each model",
        "Matena and Raffel (2022), arXiv 2111.09832; Tarvainen and Valpola (2017)",
        scope="model",
        symmetric=True,
        base="required",
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
    "import": Method(
        import_layers,
        "layers of one model, corrected towards the outputs of the others",
        "Jin et al. (2023), arXiv 2212.09849, for the closed form",
        scope="model",
        idempotent=True,
        models=(2, None),
        needs_data=True,
    ),
    "cpis": Method(
        cpis,
        "the units that matter most, by the covariance of outputs",
        "unpublished",
        scope="model",
        idempotent=True,
        models=(2, None),
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
    "adamerging": Method(
        adamerging,
        "scales of task vectors by the entropy of predictions, without labels",
        "Yang et al. (2024), arXiv 2310.02575",
        scope="model",
        symmetric=True,
        base="required",
        streams=False,
        needs_data=True,
    ),
}
"""Methods that need data, or statistics of data."""
