"""Makes the data sets: diabetes.npz and digits.npz from scikit-learn (1.8.0, NumPy 2.4.6), head.npz from the captures in the tests."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes, load_digits

here = Path(__file__).parent
diabetes = load_diabetes()
np.savez_compressed(here / "diabetes.npz", x=diabetes.data, y=diabetes.target)
digits = load_digits()
np.savez_compressed(here / "digits.npz", x=digits.data.astype(np.uint8), y=digits.target.astype(np.uint8))

# One attention head of a real model: layer 3, head 0, of sentence-transformers/all-MiniLM-L6-v2, from the captures in the tests.
captures = here.parent / "crates/attention/tests/cases/real"
harbour, bread, weights = (np.load(captures / f"{name}.npz") for name in ("harbour_L3", "bread_L3", "weights_L3"))
unseen = {c: (bread["hidden"] @ weights[f"w{c}"][:, :32] + weights[f"b{c}"][:32]).astype(np.float32) for c in "qkv"}
np.savez_compressed(
    here / "head.npz",
    **{c: harbour[c][0] for c in "qkv"},
    probs=harbour["probs"][0],
    **{f"unseen_{c}": array for c, array in unseen.items()},
)
