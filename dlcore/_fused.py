"""Formulas that are a single call of torch."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # the customary name

from ._checks import check_indices

NO_LABEL = torch.iinfo(torch.int64).min  # torch always ignores one label, -100 by default


def half_square(y_hat: Tensor, y: Tensor) -> Tensor:
    r"""Compute :math:`(\hat y - y)^2 / 2` as a Huber loss whose threshold no residual exceeds."""
    return F.huber_loss(y_hat, y, reduction="none", delta=torch.finfo(y_hat.dtype).max)


def surprise_at_labels(log_p: Tensor, labels: Tensor) -> Tensor:
    r"""Compute :math:`-\log p_y` for one row or for each of n rows; raise ValueError unless y is a class index."""
    try:
        return F.nll_loss(log_p, labels, reduction="none", ignore_index=NO_LABEL)
    except IndexError:  # torch checks each label
        check_indices("labels", labels, log_p.shape[-1])
        raise
