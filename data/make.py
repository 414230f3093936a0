"""Makes the data sets: diabetes.npz and digits.npz from scikit-learn (1.8.0, NumPy 2.4.6), head.npz from the captures in the tests."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes, load_digits

here = Path(__file__).parent
diabetes = load_diabetes()
np.savez_compressed(here / "diabetes.npz", x=diabetes.data, y=diabetes.target)
digits = load_digits()
np.savez_compressed(here / "digits.npz", x=digits.data.astype(np.uint8), y=digits.target.astype(np.uint8))

# One attention head of a real model: layer 3, head 0, of sentence-transformers/all-MiniLM-L6-v2, from the captures in the tests. With
# `_3bit` and `_4bit` its weights were rounded, each column c to s round(c / s) with s = max |c| / (2^(bits - 1) - 1).
captures = here.parent / "crates/attention/tests/cases/real"
harbour, bread, weights = (np.load(captures / f"{name}.npz") for name in ("harbour_L3", "bread_L3", "weights_L3"))


def project(hidden, column, bits=None):
    w = weights[f"w{column}"][:, :32].astype(float)
    if bits:
        step = np.abs(w).max(0) / (2 ** (bits - 1) - 1)
        w = step * np.round(w / step)
    return (hidden.astype(float) @ w + weights[f"b{column}"][:32]).astype(np.float32)


head = {c: harbour[c][0] for c in "qkv"} | {f"unseen_{c}": project(bread["hidden"], c) for c in "qkv"}
for bits in (3, 4):
    head |= {f"{c}_{bits}bit": project(harbour["hidden"], c, bits) for c in "qkv"}
    head |= {f"unseen_{c}_{bits}bit": project(bread["hidden"], c, bits) for c in "qkv"}
np.savez_compressed(here / "head.npz", probs=harbour["probs"][0], **head)
