"""Write src_c/coefficients.h: the minimax polynomials of math.inc.h, by Remez in 60 digits.

Run ``python src_c/tools/coefficients.py > src_c/coefficients.h`` (needs mpmath). Each polynomial
has the form c0 + x (c1 + x (c2 + ...)) with c0 exactly the limit of its function at 0 where that
is a float, so that the quadratic form that the divergences become for near-equal rows is exact.
The printed error is that of the rounded coefficients, relative to the function.

Of the Jensen-Shannon divergence, singular where one weight vanishes, there is one polynomial per
octave, around a power of two; only the first has a given c0, the limit for equal weights.
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


def half_exp(x: mp.mpf) -> mp.mpf:
    """(exp(x/2) - 1 - x/2) / x^2."""
    return psi(x / 2) / 4


def near_sinh(u: mp.mpf) -> mp.mpf:
    """2 sinh(x/2) / x, where u = x^2."""
    half = mp.sqrt(u) / 2
    return 1 + u / 24 if u < mp.mpf(10) ** -20 else mp.sinh(half) / half


def near_odd(u: mp.mpf) -> mp.mpf:
    """(x cosh(x/2) - 2 sinh(x/2)) / x^3, where u = x^2."""
    half = mp.sqrt(u) / 2
    if u < mp.mpf(10) ** -12:
        return mp.mpf(1) / 12 + u / 480 + u**2 / 53760
    return (half * mp.cosh(half) - mp.sinh(half)) / (4 * half**3)


def near_js(u: mp.mpf) -> mp.mpf:
    """(x sinh(x/2) - 2 cosh(x/2) log cosh(x/2)) / x^2, where u = x^2."""
    half = mp.sqrt(u) / 2
    if u < mp.mpf(10) ** -12:
        return mp.mpf(1) / 4 + u**2 / 4608
    cosh = mp.cosh(half)
    return (half * mp.sinh(half) - cosh * mp.log(cosh)) / (2 * half**2)


def near_hellinger(u: mp.mpf) -> mp.mpf:
    """(2 sinh(x/4) / x)^2, where u = x^2."""
    return near_sinh(u / 4) ** 2 / 4


def near_kl(x: mp.mpf) -> mp.mpf:
    """(exp(-x) - 1 + x) / x^2."""
    return psi(-x)


def far_js(z: mp.mpf) -> mp.mpf:
    """(1 + z) log(2 / (1 + z))."""
    return (1 + z) * mp.log(2 / (1 + z))


def jensen_shannon(z: mp.mpf) -> mp.mpf:
    """((1 + t) log(1 + t) + (1 - t) log(1 - t)) / (4 t^2), where z = (1 - t^2) / 4."""
    square = 1 - 4 * z
    if square < mp.mpf(10) ** -20:
        return (1 + square / 6 + square**2 / 15) / 4
    root = mp.sqrt(square)
    less, more = 4 * z / (1 + root), 1 + root
    return (more * mp.log(more) + (less * mp.log(less) if less else 0)) / (4 * square)


def jensen_shannon_near(x: mp.mpf) -> mp.mpf:
    """Compute the same of z = 1/4 + x."""
    return jensen_shannon(mp.mpf(1) / 4 + x)


def remez(f: Function, low: mp.mpf, high: mp.mpf, degree: int, given: list[mp.mpf]) -> list[mp.mpf]:
    """Find the polynomial c0 + c1 x + ... with the smallest largest relative error on [low, high].

    With c0 given, what is approximated is (f - c0) / x with the weight |x| / f: its error
    alternates, so the error of the whole alternates but for one step across 0.
    """

    def sign(x: mp.mpf) -> mp.mpf:
        return mp.sign(x) if given else mp.mpf(1)

    count = degree + 2 - len(given)
    middle, half = (low + high) / 2, (high - low) / 2
    nodes = [middle - half * mp.cos(mp.pi * (i + mp.mpf(1) / 2) / count) for i in range(count)]
    grid = [middle - half * mp.cos(mp.pi * i / (60 * count)) for i in range(60 * count + 1)]
    grid = [x for x in grid if abs(x) > half / 10**6]
    values = [f(x) for x in grid]
    solution: list[mp.mpf] = []
    for _ in range(12):
        rows = [
            [x**k for k in range(len(given), degree + 1)] + [(-1) ** i * sign(x) * f(x)]
            for i, x in enumerate(nodes)
        ]
        solved = mp.lu_solve(mp.matrix(rows), mp.matrix([f(x) - sum(given) for x in nodes]))
        solution = [solved[i] for i in range(count - 1)]
        errors = [
            sign(x) * (polynomial([*given, *solution], x) / v - 1)
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
    return [*given, *solution]


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


def described(worst: mp.mpf) -> str:
    """Say which power of two a relative error is."""
    return f"relative error 2^{mp.nstr(mp.log(worst, 2), 4)}"


def literals(coefficients: list[mp.mpf], suffix: str) -> str:
    """Write C's initialiser."""
    return "{" + ", ".join(float(c).hex() + suffix for c in coefficients) + "}"


def moved(coefficients: list[mp.mpf], by: mp.mpf) -> list[mp.mpf]:
    """Expand the polynomial of x - by in powers of x."""
    total: list[mp.mpf] = []
    for c in reversed(coefficients):
        times_x, times_by = [mp.mpf(0), *total], [*(by * k for k in total), mp.mpf(0)]
        total = [k - b for k, b in zip(times_x, times_by, strict=True)]
        total[0] += c
    return total


def print_jensen_shannon() -> None:
    """Print the table of polynomials by octave.

    Where the first octave has its given c0 is z = 1/4, which is SHIFT away from its power of two.
    A sixth of SHIFT, the linear term there, is an integer in last places of 1/4, so that the
    rounded polynomial is still exactly 1/4.  SHIFT is nearly all of the last octave: the short
    rest of it is where no polynomial follows z log z.
    """
    degree, octaves, edge, shift = 6, 16, mp.mpf(9) / 16, mp.mpf(270) / 2**25
    columns: list[list[mp.mpf]] = [[] for _ in range(octaves)]
    worst = mp.mpf(0)
    for octave in range(octaves):
        centre = mp.mpf(2) ** (-2 - octave)
        low = max(edge * centre, shift) - centre
        high = 2 * edge * centre - centre if octave else shift

        def around(x: mp.mpf, centre: mp.mpf = centre) -> mp.mpf:
            return jensen_shannon(centre + x - shift)

        if octave:
            exact = remez(around, low, high, degree, [])
        else:
            quarter = [mp.mpf(1) / 4]
            exact = moved(
                remez(jensen_shannon_near, low - shift, mp.mpf(0), degree, quarter), shift
            )
        coefficients = [rounded(c, 24) for c in exact]
        points = [low + (high - low) * i / 997 for i in range(998)]
        worst = max([worst, *(abs(polynomial(coefficients, x) / around(x) - 1) for x in points)])
        columns[(127 - 2 - octave) % octaves] = coefficients
    first, last = mp.nstr(edge, 5), mp.nstr(2 * edge, 5)
    print(f"/* {jensen_shannon.__doc__}")
    print(f" * Around 2^e for z + JS_SHIFT in 2^e [{first}, {last}), e = -2 to {-1 - octaves}:")
    print(f" * degree {degree}, {described(worst)}.  A column is a polynomial; its place is")
    print(
        " * what the bits of the exponent are, modulo 16, once JS_CARRY EXPONENT_ONE is added. */"
    )
    print(f"#define JS_SHIFT {float(shift).hex()}")
    print(f"#define JS_CARRY {float(2 - 2 * edge).hex()}")
    print(f"_Alignas(64) static const float JS_float[{degree + 1}][{octaves}] = {{")
    for k in range(degree + 1):
        print(f"    {literals([column[k] for column in columns], 'f')},")
    print("};")


def main() -> None:
    """Print the header."""
    half_step = mp.mpf("0.5") + mp.mpf("0.0861")
    ratio = (mp.mpf(2) ** -half_step - 1, mp.mpf(2) ** half_step - 1)
    table = [
        ("PHI", phi, *ratio, 9, 22),
        ("EXP", psi, -mp.mpf("0.3467"), mp.mpf("0.3467"), 4, 10),
        ("PSI", psi, -mp.mpf(1), mp.mpf(1), 7, 15),
        ("EXCESS", phi, mp.sqrt(0.5) - 1, mp.sqrt(2) - 1, None, 18),
        ("HALF_EXP", half_exp, -mp.mpf("0.6934"), mp.mpf("0.6934"), 4, 10),
        ("NEAR_SINH", near_sinh, mp.mpf(0), mp.mpf(4), 3, 7),
        ("NEAR_ODD", near_odd, mp.mpf(0), mp.mpf(4), 3, 7),
        ("NEAR_JS", near_js, mp.mpf(0), mp.mpf(4), 4, 13),
        ("NEAR_HELLINGER", near_hellinger, mp.mpf(0), mp.mpf(4), 3, 7),
        ("NEAR_KL", near_kl, -mp.mpf(2), mp.mpf(2), 8, 17),
        ("FAR_JS", far_js, mp.mpf(0), mp.exp(-2), 4, 10),
    ]
    print("/* Made by tools/coefficients.py; not to be edited. */")
    print("#ifndef FASTDIV_COEFFICIENTS_H\n#define FASTDIV_COEFFICIENTS_H")
    for name, f, low, high, degree32, degree64 in table:
        for label, degree, bits in (("float", degree32, 24), ("double", degree64, 53)):
            if degree is None:
                continue
            limit = f(mp.mpf(0))
            given = [limit] if limit == rounded(limit, 24) else []
            coefficients = [rounded(c, bits) for c in remez(f, low, high, degree, given)]
            points = [low + (high - low) * i / 997 for i in range(998)]
            worst = max(abs(polynomial(coefficients, x) / f(x) - 1) for x in points)
            what = f"{f.__doc__} on [{mp.nstr(low, 4)}, {mp.nstr(high, 4)}]: degree {degree}"
            print(f"/* {what}, {described(worst)} */")
            body = literals(coefficients, "f" if bits == 24 else "")
            print(f"static const {label} {name}_{label}[{degree + 1}] = {body};")
    print_jensen_shannon()
    print("#endif")


if __name__ == "__main__":
    main()
