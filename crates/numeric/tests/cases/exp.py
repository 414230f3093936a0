"""Writes exp.csv: e^x of doubles to 60 digits. Columns: bits of x, bits of the nearest double, (exact - nearest) / ulp."""

import random
import struct

from mpmath import exp, ldexp, log, mp, mpf

mp.dps = 60
random.seed(1)


def bits(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def ulp(y):
    """The spacing of doubles at y; 2^-1074 among the subnormals."""
    _, exponent = mp.frexp(y)
    return ldexp(mpf(1), max(exponent - 53, -1074))


def nearest(y):
    """Rounded to the grid of doubles first: float() of an mpf rounds twice among the subnormals."""
    return float(mp.nint(y / ulp(y)) * ulp(y))


def points():
    yield from (0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 2.0**-54, -(2.0**-54), 709.782712893384, -708.3964185322641)
    yield from (-708.4, -744.4400719213812, -745.1, -745.1332191019411, -745.1332191019412, -745.2)
    for k in range(-1074, 1024, 9):  # near the ends of the reduced range
        for half in (0, 0.5):
            yield float((k + half) * log(2)) * (1 + random.uniform(-3, 3) * 2.0**-52)
    for _ in range(400):
        yield random.uniform(-745, 709)
    for _ in range(400):
        yield random.uniform(-1, 1)
    for _ in range(200):
        yield random.uniform(-745.1, -708)
    for _ in range(100):
        yield random.choice((-1, 1)) * 2.0 ** random.uniform(-60, 6)


with open("exp.csv", "w", newline="\n") as out:
    for x in points():
        exact = exp(mpf(x))
        y = nearest(exact)
        offset = (exact - mpf(y)) / ulp(exact)
        out.write(f"{bits(x):016x},{bits(y):016x},{float(offset):.6f}\n")
