"""Makes diabetes.npz and digits.npz from scikit-learn's copies (scikit-learn 1.8.0, NumPy 2.4.6)."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes, load_digits

here = Path(__file__).parent
diabetes = load_diabetes()
np.savez_compressed(here / "diabetes.npz", x=diabetes.data, y=diabetes.target)
digits = load_digits()
np.savez_compressed(here / "digits.npz", x=digits.data.astype(np.uint8), y=digits.target.astype(np.uint8))
