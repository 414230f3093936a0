"""Makes the reference tables of the special functions, with mpmath (tested with 1.3.0).

    python make_tables.py [NAME ...]

Each table is plain text: one point a line, the arguments and then the value, all as decimal numbers that parse to the
nearest double. Arguments are doubles exactly; values carry 22 digits. Lines that start with # are comments. Points whose
value is not a normal double are left out. Everything is deterministic.
"""

import random
import sys
from pathlib import Path

from mpmath import mp, mpf

mp.dps = 50
HERE = Path(__file__).parent
TABLES = {}


def table(columns):
    def register(make):
        TABLES[make.__name__] = (columns, make)
        return make

    return register


def write(name):
    columns, make = TABLES[name]
    lines = [f"# {name}: {columns}"]
    seen = set()
    for arguments in make_points(name, make):
        *inputs, value = arguments
        key = tuple(inputs)
        if key in seen or value is None or mp.isnan(value) or (value != 0 and not mpf("2.3e-308") < abs(value) < mpf("1.7e308")):
            continue
        seen.add(key)
        lines.append(" ".join([*(repr(float(v)) for v in inputs), mp.nstr(value, 22)]))
    (HERE / f"{name}.txt").write_text("\n".join(lines) + "\n")
    print(f"{name}: {len(seen)} points")


def make_points(name, make):
    rng = random.Random(name)
    yield from make(rng)


def log_uniform(rng, low, high):
    return float(10 ** rng.uniform(low, high))


# Error functions and the normal law


def error_points(rng, top):
    yield from (0.0, 5e-324, 1e-300, 1e-20, 1e-10, 0.499999999, 0.5, 0.500000001, 1.0, 2.0, 5.0, 10.0, 20.0, 26.0)
    yield from (log_uniform(rng, -18, 0) for _ in range(30))
    yield from (rng.uniform(0, 3) for _ in range(60))
    yield from (rng.uniform(3, top) for _ in range(60))


@table("x, erf(x)")
def erf(rng):
    for x in error_points(rng, 7):
        yield x, mp.erf(mpf(x))
        yield -x, mp.erf(mpf(-x))


@table("x, erfc(x)")
def erfc(rng):
    for x in error_points(rng, 26.5):
        yield x, mp.erfc(mpf(x))
        yield -x, mp.erfc(mpf(-x))


def exact_erfcx(x):
    x = mpf(x)
    if x > 1e8:
        return (1 - 1 / (2 * x**2) + 3 / (4 * x**4)) / (x * mp.sqrt(mp.pi))
    return mp.exp(x**2) * mp.erfc(x)


@table("x, erfcx(x) = exp(x^2) erfc(x)")
def erfcx(rng):
    for x in error_points(rng, 26.5):
        yield x, exact_erfcx(x)
        yield -x, exact_erfcx(-x)
    for _ in range(60):
        x = log_uniform(rng, 1, 300)
        yield x, exact_erfcx(x)


def exact_sf(x):
    return mp.erfc(mpf(x) / mp.sqrt(2)) / 2


@table("x, upper tail of the standard normal law at x")
def normal_sf(rng):
    for x in error_points(rng, 37):
        yield x, exact_sf(x)
        yield -x, exact_sf(-x)


@table("x, logarithm of the upper tail of the standard normal law at x")
def ln_normal_sf(rng):
    for x in error_points(rng, 37):
        yield x, mp.log(exact_sf(x)) if x > 0 else mp.log1p(-exact_sf(-x))
        yield -x, mp.log1p(-exact_sf(x))
    for _ in range(40):
        x = log_uniform(rng, 1.6, 8)
        y = mpf(x) / mp.sqrt(2)
        yield x, -(y**2) + mp.log(exact_erfcx(y) / 2)


@table("x, density of the standard normal law at x")
def normal_pdf(rng):
    for x in error_points(rng, 37):
        yield x, mp.npdf(mpf(x))


@table("x, Mills ratio: upper tail over density of the standard normal law")
def mills(rng):
    for x in error_points(rng, 37):
        for s in (x, -x):
            yield s, mp.sqrt(mp.pi / 2) * exact_erfcx(mpf(s) / mp.sqrt(2))


def exact_quantile_upper(q):
    q = mpf(q)
    if q == 0.5:
        return mpf(0)
    if q > 0.5:
        return -exact_quantile_upper(1 - q)
    z = mp.sqrt(-2 * mp.log(2 * q)) if q < 0.3 else (mpf(1) / 2 - q) * mp.sqrt(2 * mp.pi)
    for _ in range(100):
        step = mp.log(exact_sf(z) / q) * exact_sf(z) / mp.npdf(z)
        z += step
        if abs(step) < abs(z) * mpf(10) ** -40:
            return z
    raise ArithmeticError(q)


@table("q, z with upper tail q of the standard normal law")
def normal_quantile_upper(rng):
    yield 0.5, mpf(0)
    for q in (5e-324, 1e-320, 2.3e-308, 1e-300, 1e-100, 0.1, 0.2499999, 0.25, 0.2500001, 0.75, 0.9, 0.999, 1 - 2.0**-53):
        yield q, exact_quantile_upper(q)
    for _ in range(100):
        q = log_uniform(rng, -307, 0)
        yield q, exact_quantile_upper(q)
    for _ in range(60):
        q = rng.uniform(0, 1)
        yield q, exact_quantile_upper(q)
    for _ in range(60):
        q = 0.5 + rng.choice([-1, 1]) * log_uniform(rng, -16, -1)
        yield q, exact_quantile_upper(q)


# Gamma and beta


def gamma_points(rng):
    yield from (1.0, 2.0, 3.0, 0.5, 1.5, 2.5, 10.0, 16.0, 100.0, 1e-300, 1e-16, 1e-5)
    yield from (1 + s * 10.0**-k for k in range(1, 16) for s in (1, -1))
    yield from (2 + s * 10.0**-k for k in range(1, 16) for s in (1, -1))
    yield from (rng.uniform(0, 4) for _ in range(60))
    yield from (rng.uniform(4, 40) for _ in range(40))
    yield from (log_uniform(rng, 1, 2.2) for _ in range(40))


@table("x, ln |gamma(x)|")
def ln_gamma(rng):
    for x in gamma_points(rng):
        yield x, mp.loggamma(mpf(x))
    for _ in range(60):
        x = log_uniform(rng, -300, 300)
        yield x, mp.loggamma(mpf(x))
    for _ in range(60):
        x = -rng.uniform(0, 30)
        yield x, mp.log(abs(mp.gamma(mpf(x))))


@table("x, gamma(x)")
def gamma(rng):
    for x in gamma_points(rng):
        yield x, mp.gamma(mpf(x))
    for _ in range(60):
        x = -rng.uniform(0, 100)
        yield x, mp.gamma(mpf(x))
    for _ in range(40):
        x = rng.uniform(100, 171.6)
        yield x, mp.gamma(mpf(x))


def exact_ln_beta(a, b):
    a, b = mpf(a), mpf(b)
    with mp.workdps(700 if max(a, b) > mpf("1e30") else mp.dps + 40):
        return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)


@table("a, b, ln beta(a, b)")
def ln_beta(rng):
    for a, b in ((1.0, 1.0 + 2.0**-52), (1.0, 1e-300), (2.0, 0.5), (0.5, 0.5), (1e7, 1e-2), (1e300, 0.01), (1e-300, 1e-300), (3.0, 1e16)):
        yield a, b, exact_ln_beta(a, b)
    for _ in range(150):
        a, b = log_uniform(rng, -3, 8), log_uniform(rng, -3, 8)
        yield a, b, exact_ln_beta(a, b)
    for _ in range(60):
        a, b = log_uniform(rng, -300, 200), log_uniform(rng, -300, 200)
        yield a, b, exact_ln_beta(a, b)


def positive_series(ratio):
    """1 + r(0) + r(0) r(1) + ..., until a term cannot matter."""
    term, total, n = mpf(1), mpf(1), 0
    tiny = mpf(10) ** (-mp.dps - 5)
    while n < 3_000_000:
        r = ratio(n)
        term *= r
        total += term
        n += 1
        if r < 1 and term < tiny * total * (1 - r):
            return total
    raise ArithmeticError("series too long")


def exact_gamma_pq(a, x):
    """Both tails of the gamma law, each to 30 digits or more."""
    a, x = mpf(a), mpf(x)
    dps = 40 + int(max(0, float(x - a) / 2.3)) if x < a + 800 + 40 * mp.sqrt(a) else 40
    with mp.workdps(min(dps, 420)):
        p = mp.exp(a * mp.log(x) - x - mp.loggamma(a + 1)) * positive_series(lambda n: x / (a + 1 + n))
        return p, 1 - p


def gamma_inc_points(rng):
    for _ in range(150):
        a = log_uniform(rng, -2, 4)
        yield a, max(a + rng.uniform(-12, 12) * a**0.5, a * log_uniform(rng, -3, 0))
    for _ in range(40):
        a = log_uniform(rng, 4, 7)
        yield a, a + rng.uniform(-30, 30) * a**0.5
    for _ in range(60):
        yield log_uniform(rng, -2, 1.5), log_uniform(rng, -4, 2.7)
    for _ in range(60):
        yield log_uniform(rng, -12, 0), log_uniform(rng, -12, 1)
    for _ in range(30):
        yield log_uniform(rng, -2, 1), log_uniform(rng, -100, -3)
    for a in (19.9999, 20.0, 29.9999, 30.0, 30.0001, 0.5, 1.0, 2.0):
        for f in (0.1, 0.5, 0.9, 0.999, 1.0, 1.001, 1.1, 1.5, 3.0, 10.0):
            yield a, a * f


def exact_beta_inc(a, b, x):
    """Both tails of the beta law, each to 30 digits or more."""
    a, b, x = mpf(a), mpf(b), mpf(x)

    def cost(a, b, x):
        peak = max(mpf(0), ((a + b) * x - a - 1) / (1 - x))
        rest = 300 / -mp.log(x)
        return peak + min(rest, 60 * mp.sqrt((a + b) / (1 - x)) + 300)

    swap = cost(b, a, 1 - x) < cost(a, b, x)
    if swap:
        a, b = b, a
    dps = 60
    while True:
        with mp.workdps(dps):
            y = 1 - x if swap else x
            z = x if swap else 1 - x
            front = mp.exp(a * mp.log(y) + b * mp.log(z) - mp.log(a) - exact_ln_beta(a, b))
            p = front * positive_series(lambda n: (a + b + n) / (a + 1 + n) * y)
            q = 1 - p
            digits = 0 if q == 0 else -int(mp.log10(abs(q)))
            if digits > 320:
                q = mpf(0)
            if digits > 320 or digits + 35 < dps or dps > 350:
                return (q, p) if swap else (p, q)
            dps = 400


def beta_inc_points(rng):
    for _ in range(140):
        a, b = log_uniform(rng, -2, 3.5), log_uniform(rng, -2, 3.5)
        mean = a / (a + b)
        spread = (mean * (1 - mean) / (a + b + 1)) ** 0.5
        x = mean + rng.uniform(-8, 8) * spread
        yield a, b, x if 0 < x < 1 else rng.uniform(0, 1)
    for _ in range(40):
        a, b = log_uniform(rng, 3, 7), log_uniform(rng, 3, 7)
        mean = a / (a + b)
        spread = (mean * (1 - mean) / (a + b + 1)) ** 0.5
        yield a, b, mean + rng.uniform(-30, 30) * spread
    for _ in range(60):
        a, b = log_uniform(rng, -2, 1.5), log_uniform(rng, 3, 7)
        yield a, b, min(0.5, (a + rng.uniform(-1, 1) * 10 * a**0.5 + rng.uniform(0, 30)) / b if rng.random() < 0.5 else a / b * log_uniform(rng, -6, 1))
    for _ in range(40):
        a, b = log_uniform(rng, -2, 1.3), log_uniform(rng, 3, 6.5)
        yield b, a, 1 - min(0.5, a / b * log_uniform(rng, -1, 1.5))
    for _ in range(40):
        yield log_uniform(rng, -12, 0), log_uniform(rng, -12, 0), rng.uniform(0, 1)
    for _ in range(40):
        yield log_uniform(rng, -2, 2), log_uniform(rng, -2, 2), log_uniform(rng, -20, -1)
    for _ in range(20):
        yield log_uniform(rng, 0, 2.5), log_uniform(rng, 0, 2.5), rng.uniform(0, 1)


def two_tails(name, columns, points, exact):
    rng = random.Random(name)
    lines = [f"# {name}: {columns}; a tail below 1e-305 is written as 0"]
    for arguments in points(rng):
        if any(not v > 0 for v in arguments) or (len(arguments) == 3 and not arguments[-1] < 1):
            continue
        try:
            tails = exact(*arguments)
        except ArithmeticError:
            continue
        tails = [v if abs(v) > mpf("1e-305") else mpf(0) for v in tails]
        lines.append(" ".join([*(repr(float(v)) for v in arguments), *(mp.nstr(v, 22) for v in tails)]))
    (HERE / f"{name}.txt").write_text("\n".join(lines) + "\n")
    print(f"{name}: {len(lines) - 1} points")


# Tails of large shapes, by quadrature outwards from x


def outer_tail(ln_density, x, sign, width):
    """The integral of the density from x outwards, over panels of three widths until it has fallen by e^-100."""
    top = ln_density(x)
    ends = [3 * width * k for k in range(40)]
    ends = [s for s in ends if top - ln_density(x + sign * s) < 100]
    return mp.exp(top) * mp.quad(lambda s: mp.exp(ln_density(x + sign * s) - top), ends)


def large_law(ln_density, x, mean, deviation):
    sign = -1 if x < mean else 1
    tail = outer_tail(ln_density, x, sign, deviation / (1 + abs(x - mean) / deviation))
    return (tail, 1 - tail) if sign < 0 else (1 - tail, tail)


def exact_gamma_large(a, x):
    with mp.workdps(45):
        a, x = mpf(a), mpf(x)
        normaliser = mp.loggamma(a)
        return large_law(lambda t: (a - 1) * mp.log(t) - t - normaliser, x, a, mp.sqrt(a))


def gamma_large_points(rng):
    for _ in range(36):
        a = log_uniform(rng, 3, 14)
        yield a, a + rng.uniform(-30, 30) * a**0.5


def exact_beta_large(a, b, x):
    with mp.workdps(45):
        a, b, x = mpf(a), mpf(b), mpf(x)
        normaliser = exact_ln_beta(a, b)
        mean = a / (a + b)
        deviation = mp.sqrt(mean * (1 - mean) / (a + b + 1))
        return large_law(lambda t: (a - 1) * mp.log(t) + (b - 1) * mp.log1p(-t) - normaliser, x, mean, deviation)


def beta_large_points(rng):
    for _ in range(36):
        a, b = log_uniform(rng, 3, 13), log_uniform(rng, 3, 13)
        mean = a / (a + b)
        yield a, b, mean + rng.uniform(-30, 30) * (mean * (1 - mean) / (a + b + 1)) ** 0.5


# Quantiles: from the exact tail at a double x, whose rounding to a double moves the quantile by a known amount


def quantile_row(p, density, x, sign):
    """Tail rounded to a double, condition number |d ln x / d ln p|, quantile of the rounded tail."""
    rounded = mpf(float(p))
    return float(p), p / (x * density), x + sign * (rounded - p) / density


@table("side (0 lower, 1 upper), a, probability, condition number, quantile of the gamma law")
def gamma_quantile(rng):
    for a, x in gamma_inc_points(rng):
        if x <= 0:
            continue
        tails = exact_gamma_pq(a, x)
        density = mp.exp((mpf(a) - 1) * mp.log(x) - x - mp.loggamma(a))
        for side, sign in ((0, 1), (1, -1)):
            if mpf("1e-300") < tails[side] < 0.75:
                p, condition, quantile = quantile_row(tails[side], density, mpf(x), sign)
                yield side, a, p, condition, quantile


@table("side (0 lower, 1 upper), a, b, probability, condition number, quantile of the beta law")
def beta_quantile(rng):
    for a, b, x in beta_inc_points(rng):
        if not (a > 0 and b > 0 and 0 < x < 1):
            continue
        try:
            tails = exact_beta_inc(a, b, x)
        except ArithmeticError:
            continue
        density = mp.exp((mpf(a) - 1) * mp.log(x) + (mpf(b) - 1) * mp.log1p(-mpf(x)) - exact_ln_beta(a, b))
        for side, sign in ((0, 1), (1, -1)):
            if mpf("1e-300") < tails[side] < 0.75:
                p, condition, quantile = quantile_row(tails[side], density, mpf(x), sign)
                yield side, a, b, p, condition, quantile


@table("freedom, t, upper tail of Student's law at t, condition number, upper quantile of that tail as a double")
def student(rng):
    for _ in range(200):
        freedom = rng.choice([float(rng.randint(1, 30)), log_uniform(rng, -1, 6)])
        t = rng.choice([rng.uniform(0, 6), log_uniform(rng, -8, 4)])
        with mp.workdps(40):
            n, s = mpf(freedom), mpf(t)
            try:
                tails = exact_beta_inc(n / 2, mpf(1) / 2, n / (n + s * s))
            except ArithmeticError:
                continue
            p = tails[0] / 2
            density = mp.exp(-(n + 1) / 2 * mp.log1p(s * s / n) - exact_ln_beta(n / 2, mpf(1) / 2)) / mp.sqrt(n)
            if p > mpf("1e-300"):
                rounded, condition, quantile = quantile_row(p, density, s, -1)
                yield freedom, t, rounded, condition, quantile


# Owen's T and Lambert's W


def exact_owens_t(h, a):
    h, a = mpf(h), mpf(a)
    if a > 1 and h < 8:
        # A second panel keeps the quadrature accurate where a is large.
        q = lambda x: mp.erfc(x / mp.sqrt(2)) / 2
        if h == 0:
            return mp.atan(a) / (2 * mp.pi)
        return q(h) / 2 + q(a * h) / 2 - q(h) * q(a * h) - exact_owens_t(a * h, 1 / a)
    end = min(a, 20 / h) if h > 0 else a
    panels = [end * k / 8 for k in range(9)]
    return mp.exp(-h * h / 2) / (2 * mp.pi) * mp.quad(lambda x: mp.exp(-h * h * x * x / 2) / (1 + x * x), panels)


@table("h, a, T(h, a)")
def owens_t(rng):
    with mp.workdps(45):
        for h, a in ((0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (0.5, 1e-10), (37.0, 0.5), (37.0, 2.0), (1e-10, 3.0), (0.25, 1e10)):
            yield h, a, exact_owens_t(h, a)
        for _ in range(100):
            h, a = rng.uniform(0, 10), rng.uniform(0, 2)
            yield h, a, exact_owens_t(h, a)
        for _ in range(50):
            h, a = log_uniform(rng, -5, 1.55), log_uniform(rng, -5, 5)
            yield h, a, exact_owens_t(h, a)
        for _ in range(30):
            h, a = rng.uniform(0, 37), 1 + rng.choice([-1, 1]) * log_uniform(rng, -16, -2)
            yield h, a, exact_owens_t(h, a)


def exact_lambert(x, branch):
    with mp.workdps(80):
        return mp.re(mp.lambertw(mpf(x), branch))


BRANCH = -0.3678794411714423  # the double next above -1/e, 4.3e-17 away


def branch_points(rng):
    yield BRANCH
    for k in range(1, 100):
        yield BRANCH + 2.0**-54 * round(1.4**k)
    for _ in range(60):
        yield -rng.uniform(0, 0.3678)


@table("x, W0(x)")
def lambert_w0(rng):
    for x in branch_points(rng):
        if x <= 0.3:
            yield x, exact_lambert(x, 0)
    for _ in range(80):
        x = log_uniform(rng, -5, 308)
        yield x, exact_lambert(x, 0)
    for _ in range(40):
        x = log_uniform(rng, -2, 2)
        yield x, exact_lambert(x, 0)
    for _ in range(30):
        x = -log_uniform(rng, -300, -1)
        yield x, exact_lambert(x, 0)


@table("x, W-1(x)")
def lambert_wm1(rng):
    for x in branch_points(rng):
        if x < 0:
            yield x, exact_lambert(x, -1)
    for _ in range(80):
        x = -log_uniform(rng, -307, -1)
        yield x, exact_lambert(x, -1)


# Quadrature and intervals


@table("order, index from the lower end, node, weight of Gauss-Legendre")
def gauss_legendre(rng):
    for order in (1, 2, 3, 4, 5, 16, 31, 32, 64, 255, 256):
        for k in sorted({*range(min(order, 6)), *(rng.randrange(order) for _ in range(12)), order // 2, order - 1}):
            x = mp.cos(mp.pi * (order - k - mpf("0.25")) / (order + mpf("0.5")))
            for _ in range(60):
                before, value = mpf(1), x
                for j in range(2, order + 1):
                    before, value = value, ((2 * j - 1) * x * value - (j - 1) * before) / j
                slope = order * (x * value - before) / (x * x - 1)
                step = value / slope
                x -= step
                if abs(step) < mpf(10) ** -45:
                    break
            if abs(x) < mpf(10) ** -30:
                x = mpf(0)
            yield order, k, x, 2 / ((1 - x * x) * slope**2)


def exact_beta_quantile(p, a, b):
    """The x with lower tail p, by bisection and Newton's method."""
    with mp.workdps(40):
        low, high = mpf(0), mpf(1)
        for _ in range(60):
            x = (low + high) / 2
            if exact_beta_inc(a, b, x)[0] < p:
                low = x
            else:
                high = x
        for _ in range(4):
            density = mp.exp((a - 1) * mp.log(x) + (b - 1) * mp.log1p(-x) - exact_ln_beta(a, b))
            x -= (exact_beta_inc(a, b, x)[0] - p) / density
        return x


@table("successes, trials, alpha, two-sided lower and upper bound of Clopper and Pearson")
def clopper_pearson(rng):
    counts = [(1, 1), (1, 2), (0, 1), (0, 10), (10, 10), (5, 10), (1, 1000), (999, 1000), (3, 100_000)]
    while len(counts) < 60:
        trials = int(log_uniform(rng, 0.5, 4))
        counts.append((rng.randint(0, trials), trials))
    for successes, trials in counts:
        alpha = rng.choice([0.05, 0.01, 1e-3, 1e-9, 0.5])
        half = mpf(alpha) / 2
        lower = exact_beta_quantile(half, successes, trials - successes + 1) if successes else mpf(0)
        upper = exact_beta_quantile(1 - half, successes + 1, trials - successes) if successes < trials else mpf(1)
        yield successes, trials, alpha, lower, upper


def exact_student_quantile(q, freedom):
    with mp.workdps(40):
        y = exact_beta_quantile(1 - 2 * mpf(q), mpf(1) / 2, mpf(freedom) / 2)
        return mp.sqrt(freedom * y / (1 - y))


def slopes():
    """Rows of: n, confidence, x..., y..., slope, lower, upper, intercept, r2."""
    rng = random.Random("slopes")
    lines = ["# slopes: n, confidence, n values x, n values y, slope, lower, upper, intercept, r2"]
    for n in (3, 4, 5, 8, 20, 50):
        for noise in (0.0078125, 1.0, 100.0):
            x = [rng.uniform(-5, 5) + rng.choice([0.0, 1000.0]) for _ in range(n)]
            y = [2.5 * v - 7 + noise * rng.gauss(0, 1) for v in x]
            confidence = rng.choice([0.5, 0.9, 0.95, 0.99])
            with mp.workdps(40):
                mx, my = sum(map(mpf, x)) / n, sum(map(mpf, y)) / n
                sxx = sum((v - mx) ** 2 for v in x)
                slope = sum((v - mx) * (w - my) for v, w in zip(x, y)) / sxx
                rest = sum((w - my - slope * (v - mx)) ** 2 for v, w in zip(x, y))
                half = exact_student_quantile((1 - mpf(confidence)) / 2, n - 2) * mp.sqrt(rest / (n - 2) / sxx)
                r2 = 1 - rest / sum((w - my) ** 2 for w in y)
                values = [slope, slope - half, slope + half, my - slope * mx, r2]
            lines.append(" ".join([str(n), *map(repr, [confidence, *x, *y]), *(mp.nstr(v, 22) for v in values)]))
    (HERE / "slopes.txt").write_text("\n".join(lines) + "\n")
    print(f"slopes: {len(lines) - 1} rows")


if __name__ == "__main__":
    gamma_columns, beta_columns = "a, x, lower tail of the gamma law of shape a, upper tail", "a, b, x, lower tail of the beta law, upper tail"
    tails = {
        "gamma_inc": (gamma_columns, gamma_inc_points, exact_gamma_pq),
        "gamma_inc_large": (gamma_columns, gamma_large_points, exact_gamma_large),
        "beta_inc": (beta_columns, beta_inc_points, exact_beta_inc),
        "beta_inc_large": (beta_columns, beta_large_points, exact_beta_large),
    }
    for name in sys.argv[1:] or [*TABLES, *tails, "slopes"]:
        if name == "slopes":
            slopes()
        elif name in ("gauss_legendre", "clopper_pearson"):
            rows = [" ".join([*(repr(v) for v in row[:-2]), *(mp.nstr(v, 22) for v in row[-2:])]) for row in make_points(name, TABLES[name][1])]
            (HERE / f"{name}.txt").write_text("\n".join([f"# {name}: {TABLES[name][0]}", *rows]) + "\n")
            print(f"{name}: {len(rows)} rows")
        elif name in tails:
            two_tails(name, *tails[name])
        else:
            write(name)
