/* Made by tools/coefficients.py; not to be edited. */
#ifndef FASTDIV_COEFFICIENTS_H
#define FASTDIV_COEFFICIENTS_H
/* ((1 + r) log(1 + r) - r) / r^2. on [-0.3339, 0.5012]: degree 9, relative error 2^-26.71 */
static const float PHI_float[10] = {0x1.0000000000000p-1f, -0x1.5555500000000p-3f, 0x1.5555680000000p-4f, -0x1.99a1640000000p-5f, 0x1.110fa40000000p-5f, -0x1.8462520000000p-6f, 0x1.23268c0000000p-6f, -0x1.e98b8e0000000p-7f, 0x1.a3d5180000000p-7f, -0x1.a0e0120000000p-8f};
/* ((1 + r) log(1 + r) - r) / r^2. on [-0.3339, 0.5012]: degree 22, relative error 2^-57.62 */
static const double PHI_double[23] = {0x1.0000000000000p-1, -0x1.5555555555555p-3, 0x1.555555555556bp-4, -0x1.9999999999b06p-5, 0x1.111111110dc11p-5, -0x1.86186185f4840p-6, 0x1.249249274b45ep-6, -0x1.c71c71e140ed0p-7, 0x1.6c16c05ab226ep-7, -0x1.29e40d651d2edp-7, 0x1.f07c58769733bp-8, -0x1.a41b7e12bb8ddp-8, 0x1.68134e1457c09p-8, -0x1.37fca5290b915p-8, 0x1.1122c5cc10147p-8, -0x1.e3e10ab05fb67p-9, 0x1.ad42d32b584a2p-9, -0x1.72b5da7705c37p-9, 0x1.467f3a1988d5ap-9, -0x1.597f549532b43p-9, 0x1.7de77d1daf1efp-9, -0x1.2129c5eee8095p-9, 0x1.867de6b14fc97p-11};
/* (exp(x) - 1 - x) / x^2. on [-0.3467, 0.3467]: degree 4, relative error 2^-22.9 */
static const float EXP_float[5] = {0x1.0000000000000p-1f, 0x1.5554e00000000p-3f, 0x1.55558a0000000p-5f, 0x1.12097e0000000p-7f, 0x1.6c86480000000p-10f};
/* (exp(x) - 1 - x) / x^2. on [-0.3467, 0.3467]: degree 10, relative error 2^-57.06 */
static const double EXP_double[11] = {0x1.0000000000000p-1, 0x1.5555555555557p-3, 0x1.5555555555550p-5, 0x1.1111111110135p-7, 0x1.6c16c16c1998bp-10, 0x1.a01a01abc5cb2p-13, 0x1.a01a0191e8a2dp-16, 0x1.71de0283e71aap-19, 0x1.27e50e614ceafp-22, 0x1.af4d612eba675p-26, 0x1.1f1cfa273d6fbp-29};
/* (exp(x) - 1 - x) / x^2. on [-1.0, 1.0]: degree 7, relative error 2^-26.58 */
static const float PSI_float[8] = {0x1.0000000000000p-1f, 0x1.5555560000000p-3f, 0x1.5555700000000p-5f, 0x1.1110de0000000p-7f, 0x1.6c022e0000000p-10f, 0x1.a02adc0000000p-13f, 0x1.a905640000000p-16f, 0x1.73a8ae0000000p-19f};
/* (exp(x) - 1 - x) / x^2. on [-1.0, 1.0]: degree 15, relative error 2^-55.73 */
static const double PSI_double[16] = {0x1.0000000000000p-1, 0x1.5555555555555p-3, 0x1.5555555555555p-5, 0x1.1111111111111p-7, 0x1.6c16c16c16be7p-10, 0x1.a01a01a01a117p-13, 0x1.a01a01a0208ddp-16, 0x1.71de3a555a0e5p-19, 0x1.27e4fb70cc92ap-22, 0x1.ae645694260b7p-26, 0x1.1eed9668e934dp-29, 0x1.612455d2e0195p-33, 0x1.938e581e2eb12p-37, 0x1.ae83a0e9745eep-41, 0x1.b415bc08420f4p-45, 0x1.96aaed2f689dcp-49};
#endif
