"""Makes src/special/coefficients.rs: the Chebyshev and Taylor coefficients of the special functions, with mpmath.

    python make_coefficients.py

A coefficient table ends where a further term would change no double.
"""

from pathlib import Path

from mpmath import bernfrac, mp, mpf

mp.dps = 60
TARGET = Path(__file__).parents[2] / "src" / "special" / "coefficients.rs"


def chebyshev(f, nodes=64):
    """Coefficients on [-1, 1] by interpolation, the first one halved."""
    points = [mp.cos(mp.pi * (j + mpf(1) / 2) / nodes) for j in range(nodes)]
    values = [f(t) for t in points]
    all_terms = [
        mpf(2) / nodes * sum(v * mp.cos(mp.pi * k * (j + mpf(1) / 2) / nodes) for j, v in enumerate(values)) for k in range(nodes)
    ]
    all_terms[0] /= 2
    scale = min(abs(v) for v in values)
    keep = max(k for k, c in enumerate(all_terms) if abs(c) > scale * mpf(10) ** -18)
    return all_terms[: keep + 1]


def erf_over_x(t):
    x = mp.sqrt((t + 1) / 2)
    return mp.erf(x) / x


def erfcx_scaled(t):
    x = mpf("3.75") * (1 + t) / (1 - t)
    erfcx = mp.exp(x**2) * mp.erfc(x) if x < 1e4 else (1 - 1 / (2 * x**2) + 3 / (4 * x**4)) / (x * mp.sqrt(mp.pi))
    return (1 + 2 * x) * erfcx


def ln_gamma_quotient(t):
    x = 2 + t
    return mp.loggamma(x) / ((x - 1) * (x - 2))


def lambert_branch(terms):
    """W = sum mu_k p^k with p = sqrt(2 (e x + 1)), from z = w - 1 + exp(-w)... reverted: p^2 / 2 = 1 + (w - 1) e^w at 1 + W = w."""
    # p^2 / 2 = 1 + (w - 1) e^w = sum_{n >= 2} w^n (n - 1) / n!
    square = [mpf(0)] * (terms + 3)
    for n in range(2, terms + 3):
        square[n] = 2 * mpf(n - 1) / mp.factorial(n)
    # p = w sqrt(1 + ...), then revert the series term by term.
    inner = square[2:]
    root = [mpf(1)]
    for n in range(1, terms + 1):
        root.append((inner[n] - sum(root[k] * root[n - k] for k in range(1, n))) / 2)
    p_of_w = [mpf(0)] + root[:terms]
    w_of_p = [mpf(0), mpf(1)]
    for n in range(2, terms + 1):
        # The coefficient of p^n in p(w(p)) with w known to order n - 1 must vanish.
        trial = w_of_p + [mpf(0)]
        power, total = [mpf(1)], mpf(0)
        for c in p_of_w[1 : n + 1]:
            longer = [mpf(0)] * (n + 1)
            for i, u in enumerate(power):
                for j, v in enumerate(trial):
                    if i + j <= n:
                        longer[i + j] += u * v
            power = longer
            total += c * power[n]
        w_of_p.append(-total)
    return w_of_p[1:]


def array(name, doc, values):
    lines = [f"/// {doc}", f"pub(crate) const {name}: [f64; {len(values)}] = ["]
    lines += [f"    {float(v)!r}," for v in values]
    return "\n".join([*lines, "];"])


def pairs(name, doc, values):
    lines = [f"/// {doc}", f"pub(crate) const {name}: [(f64, f64); {len(values)}] = ["]
    for v in values:
        hi = float(v)
        lines.append(f"    ({hi!r}, {float(v - mpf(hi))!r}),")
    return "\n".join([*lines, "];"])


def pair(name, doc, value):
    hi = float(value)
    return f"/// {doc}\npub(crate) const {name}: (f64, f64) = ({hi!r}, {float(value - mpf(hi))!r});"


def stirling(k):
    numerator, denominator = bernfrac(2 * k)
    return mpf(int(numerator)) / int(denominator) / (2 * k * (2 * k - 1))


PARTS = [
    "//! Coefficients made by `tests/cases/make_coefficients.py`; not to be edited by hand.\n"
    "// The constants of the standard library are single doubles; the pairs here begin with them.\n"
    "#![allow(clippy::approx_constant)]",
    array("ERF", "erf(x) / x on [0, 1], Chebyshev in 2 x^2 - 1.", chebyshev(erf_over_x)),
    array("ERFCX", "(1 + 2 x) erfcx(x) on [0, inf), Chebyshev in (x - 3.75) / (x + 3.75).", chebyshev(erfcx_scaled)),
    array("LN_GAMMA", "ln gamma(x) / ((x - 1) (x - 2)) on [1, 3], Chebyshev in x - 2.", chebyshev(ln_gamma_quotient)),
    array("LAMBERT", "1 + W at the branch point: powers 1, 2, ... of +-sqrt(2 (e x + 1)).", lambert_branch(28)),
    pairs("STIRLING", "B_2k / (2 k (2 k - 1)) for k = 1, 2, ..., as unevaluated sums of two doubles.", [stirling(k) for k in range(1, 15)]),
    pairs("LN_TABLE", "ln(k / 128) for k = 90, ..., 182, as unevaluated sums of two doubles.", [mp.log(mpf(k) / 128) for k in range(90, 183)]),
    pair("ONE_THIRD", "1/3.", mpf(1) / 3),
    pair("ONE_FIFTH", "1/5.", mpf(1) / 5),
    pair("LN_2", "ln 2.", mp.log(2)),
    pair("HALF_LN_TAU", "ln(2 pi) / 2.", mp.log(2 * mp.pi) / 2),
    pair("E", "e.", mp.e),
]
TARGET.write_text("\n\n".join(PARTS) + "\n")
