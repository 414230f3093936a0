"""Least squares and matrix products in what Python users run today: NumPy lstsq, SciPy lsmr."""

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import lsmr as scipy_lsmr

import peer


def lstsq(a, b):
    return dict(x=np.linalg.lstsq(a, b, rcond=None)[0])


def dense_lsmr(a, b, tolerance, iterations):
    x, stop, passes, *_ = scipy_lsmr(a, b, atol=tolerance, btol=tolerance, conlim=0, maxiter=iterations)
    return dict(x=x, passes=passes, stop=stop)


def prepare_lsmr(indptr, indices, values, d):
    n = len(indptr) - 1
    return dict(matrix=sparse.csr_matrix((np.array(values), np.array(indices), np.array(indptr)), shape=(n, d)))


def lsmr(matrix, b, tolerance, iterations):
    x, stop, passes, *_ = scipy_lsmr(matrix, b, atol=tolerance, btol=tolerance, conlim=0, maxiter=iterations)
    return dict(x=x, passes=passes, stop=stop)


def product(a, c):
    return dict(corner=(a @ c)[0, 0])


if __name__ == "__main__":
    peer.main(globals())
