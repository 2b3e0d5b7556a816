"""Formulas that are a single call of torch."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # the customary name

from ._checks import check_indices
from ._numerics import HALF_PRECISION, LONG_ROW_ENTRIES
from ._torch import cross_entropy_loss, is_compiling, is_functorch_wrapped_tensor

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


def cross_entropy_of_rows(logits: Tensor, labels: Tensor) -> Tensor | None:
    r"""Compute :math:`-\log\operatorname{softmax}(\mathbf{o})_y` for each row of a matrix on a CPU.

    Return None for other arguments and longer rows, if torch refuses them, and if a loss is NaN, as for an infinite
    logit.
    """
    if not (type(logits) is type(labels) is Tensor and logits.is_cpu and logits.dim() == 2 and logits.numel()):
        return None
    if labels.dtype is not torch.int64 or logits.dtype in HALF_PRECISION or is_compiling():
        return None
    if is_functorch_wrapped_tensor(logits) or is_functorch_wrapped_tensor(labels):
        return None
    if logits.shape[1] > LONG_ROW_ENTRIES:
        return None
    try:
        losses = cross_entropy_loss(logits, labels, None, 0, NO_LABEL)  # 0 is no reduction
    except (IndexError, RuntimeError, ValueError):
        return None
    return losses if losses.equal(losses) else None  # a NaN is not equal to itself
