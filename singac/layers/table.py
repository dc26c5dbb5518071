"""The table of layer kinds; pointwise layers come from `grammar/prelude.singa`."""

from __future__ import annotations

from collections.abc import Mapping

from singac.layers.batch_norm import BATCH_NORM
from singac.layers.crop import CROP_MIRROR
from singac.layers.dense import DENSE
from singac.layers.dropout import DROPOUT
from singac.layers.gru import GRU
from singac.layers.image import AVG_POOL, CONV, LRN, MAX_POOL
from singac.layers.join import ADD, CONCAT, MULTIPLY, SLICE
from singac.layers.kind import LayerKind
from singac.layers.lookup import EMBEDDING, ONEHOT
from singac.layers.loss import ACCURACY_METRIC, EUCLIDEAN_LOSS, SIGMOID_LOSS, SOFTMAX_LOSS, TOP_K
from singac.layers.lstm import LSTM
from singac.layers.norm import LAYER_NORM, SOFTMAX
from singac.layers.rbm import RBM_HIDDEN, RBM_VISIBLE
from singac.layers.rnn import RNN
from singac.layers.shape import FLATTEN, RESHAPE

# fmt: off
KINDS: Mapping[str, LayerKind] = {
    kind.name: kind
    for kind in (
        DENSE, DROPOUT, SOFTMAX, LAYER_NORM, BATCH_NORM,
        EMBEDDING, ONEHOT,
        GRU, LSTM, RNN,
        CONV, MAX_POOL, AVG_POOL, LRN, CROP_MIRROR,
        ADD, MULTIPLY, CONCAT, SLICE, FLATTEN, RESHAPE,
        RBM_VISIBLE, RBM_HIDDEN,
        SOFTMAX_LOSS, EUCLIDEAN_LOSS, SIGMOID_LOSS, ACCURACY_METRIC, TOP_K,
    )
}
# fmt: on
