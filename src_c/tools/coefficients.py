"""Write src_c/coefficients.h: the minimax polynomials of math.inc.h, by Remez in 60 digits.

Run ``python src_c/tools/coefficients.py > src_c/coefficients.h`` (needs mpmath). Each polynomial
has the form c0 + x (c1 + x (c2 + ...)) with c0 = 1/2 exactly, the limit of its function at 0, so
that the quadratic form that the divergences become for near-equal rows is exact. The printed error
is that of the rounded coefficients, relative to the function.
"""

from collections.abc import Callable

import mpmath as mp

mp.mp.dps = 60
Function = Callable[[mp.mpf], mp.mpf]


def phi(r: mp.mpf) -> mp.mpf:
    """((1 + r) log(1 + r) - r) / r^2."""
    return (1 - r / 3) / 2 if abs(r) < mp.mpf(10) ** -30 else ((1 + r) * mp.log1p(r) - r) / r**2


def psi(x: mp.mpf) -> mp.mpf:
    """(exp(x) - 1 - x) / x^2."""
    return (1 + x / 3) / 2 if abs(x) < mp.mpf(10) ** -30 else (mp.expm1(x) - x) / x**2


def remez(f: Function, low: mp.mpf, high: mp.mpf, degree: int) -> list[mp.mpf]:
    """Find the polynomial 1/2 + c1 x + ... with the smallest largest relative error on [low, high].

    With c0 given, what is approximated is (f - 1/2) / x with the weight |x| / f: its error
    alternates, so the error of the whole alternates but for one step across 0.
    """
    count = degree + 1
    middle, half = (low + high) / 2, (high - low) / 2
    nodes = [middle - half * mp.cos(mp.pi * (i + mp.mpf(1) / 2) / count) for i in range(count)]
    grid = [middle - half * mp.cos(mp.pi * i / (60 * count)) for i in range(60 * count + 1)]
    grid = [x for x in grid if abs(x) > half / 10**6]
    values = [f(x) for x in grid]
    solution: list[mp.mpf] = []
    for _ in range(12):
        rows = [
            [x**k for k in range(1, degree + 1)] + [(-1) ** i * mp.sign(x) * f(x)]
            for i, x in enumerate(nodes)
        ]
        solved = mp.lu_solve(mp.matrix(rows), mp.matrix([f(x) - mp.mpf(1) / 2 for x in nodes]))
        solution = [solved[i] for i in range(degree)]
        errors = [
            mp.sign(x) * (polynomial([mp.mpf(1) / 2, *solution], x) / v - 1)
            for x, v in zip(grid, values, strict=True)
        ]
        extremes: list[int] = []
        for i, error in enumerate(errors):
            if extremes and mp.sign(errors[extremes[-1]]) == mp.sign(error):
                if abs(error) > abs(errors[extremes[-1]]):
                    extremes[-1] = i
            else:
                extremes.append(i)
        while len(extremes) > count:
            extremes.pop(0 if abs(errors[extremes[0]]) < abs(errors[extremes[-1]]) else -1)
        if len(extremes) < count:
            break
        nodes = [grid[i] for i in extremes]
    return [mp.mpf(1) / 2, *solution]


def polynomial(coefficients: list[mp.mpf], x: mp.mpf) -> mp.mpf:
    """Horner's rule."""
    total = mp.mpf(0)
    for c in reversed(coefficients):
        total = total * x + c
    return total


def rounded(x: mp.mpf, bits: int) -> mp.mpf:
    """Round x to the nearest number of so many significant bits."""
    if x == 0:
        return x
    exponent = mp.floor(mp.log(abs(x), 2)) + 1 - bits
    return mp.nint(x / mp.mpf(2) ** exponent) * mp.mpf(2) ** exponent


def main() -> None:
    """Print the header."""
    half_step = mp.mpf("0.5") + mp.mpf("0.0861")
    ratio = (mp.mpf(2) ** -half_step - 1, mp.mpf(2) ** half_step - 1)
    table = [
        ("PHI", phi, *ratio, 9, 22),
        ("EXP", psi, -mp.mpf("0.3467"), mp.mpf("0.3467"), 4, 10),
        ("PSI", psi, -mp.mpf(1), mp.mpf(1), 7, 15),
    ]
    print("/* Made by tools/coefficients.py; not to be edited. */")
    print("#ifndef FASTDIV_COEFFICIENTS_H\n#define FASTDIV_COEFFICIENTS_H")
    for name, f, low, high, degree32, degree64 in table:
        for label, degree, bits in (("float", degree32, 24), ("double", degree64, 53)):
            coefficients = [rounded(c, bits) for c in remez(f, low, high, degree)]
            points = [low + (high - low) * i / 997 for i in range(998)]
            worst = max(abs(polynomial(coefficients, x) / f(x) - 1) for x in points)
            power = mp.nstr(mp.log(worst, 2), 4)
            what = f"{f.__doc__} on [{mp.nstr(low, 4)}, {mp.nstr(high, 4)}]: degree {degree}"
            print(f"/* {what}, relative error 2^{power} */")
            suffix = "f" if bits == 24 else ""
            body = ", ".join(float(c).hex() + suffix for c in coefficients)
            print(f"static const {label} {name}_{label}[{degree + 1}] = {{{body}}};")
    print("#endif")


if __name__ == "__main__":
    main()
