"""The table of layer kinds; pointwise layers come from `grammar/prelude.singa`."""

from __future__ import annotations

from collections.abc import Mapping

from singac.layers.dense import DENSE
from singac.layers.dropout import DROPOUT
from singac.layers.kind import LayerKind
from singac.layers.loss import ACCURACY_METRIC, EUCLIDEAN_LOSS, SOFTMAX_LOSS

KINDS: Mapping[str, LayerKind] = {
    kind.name: kind for kind in (DENSE, DROPOUT, SOFTMAX_LOSS, EUCLIDEAN_LOSS, ACCURACY_METRIC)
}
