"""NumPy's own speed on this machine: a triad (memory) and a matrix product (arithmetic)."""

import numpy as np

import peer


def prepare_triad(b, c, scale):
    return dict(a=np.empty_like(b), scratch=np.empty_like(b))


def triad(a, b, c, scratch, scale):
    np.multiply(c, scale, out=scratch)
    np.add(b, scratch, out=a)
    return dict(a=a)


def prepare_product(n):
    generator = np.random.default_rng(0)
    return dict(x=generator.random((n, n)), y=generator.random((n, n)))


def product(x, y):
    return dict(trace=np.trace(x @ y))


if __name__ == "__main__":
    peer.main(globals())
