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
/* ((1 + r) log(1 + r) - r) / r^2. on [-0.2929, 0.4142]: degree 18, relative error 2^-54.88 */
static const double EXCESS_double[19] = {0x1.0000000000000p-1, -0x1.555555555553bp-3, 0x1.55555555554eap-4, -0x1.99999999a6743p-5, 0x1.1111111129fb4p-5, -0x1.861861779a1f6p-6, 0x1.249249047df0fp-6, -0x1.c71c7909630cdp-7, 0x1.6c16d4746ff6bp-7, -0x1.29e321335fc9cp-7, 0x1.f076312dde375p-8, -0x1.a43bf9d56090cp-8, 0x1.6899dd8fa30dap-8, -0x1.36ee46ceb8f6ep-8, 0x1.0acb021589e5ap-8, -0x1.e5d11b9ebf791p-9, 0x1.f88d0004e23e4p-9, -0x1.c4e924e73cf75p-9, 0x1.9652a40bfec98p-10};
/* (exp(x/2) - 1 - x/2) / x^2. on [-0.6934, 0.6934]: degree 4, relative error 2^-22.9 */
static const float HALF_EXP_float[5] = {0x1.0000000000000p-3f, 0x1.5554e00000000p-6f, 0x1.55558a0000000p-9f, 0x1.12097e0000000p-12f, 0x1.6c86480000000p-16f};
/* (exp(x/2) - 1 - x/2) / x^2. on [-0.6934, 0.6934]: degree 10, relative error 2^-57.06 */
static const double HALF_EXP_double[11] = {0x1.0000000000000p-3, 0x1.5555555555557p-6, 0x1.5555555555550p-9, 0x1.1111111110135p-12, 0x1.6c16c16c1998bp-16, 0x1.a01a01abc5cb2p-20, 0x1.a01a0191e8a2dp-24, 0x1.71de0283e71aap-28, 0x1.27e50e614ceafp-32, 0x1.af4d612eba675p-37, 0x1.1f1cfa273d6fbp-41};
/* 2 sinh(x/2) / x, where u = x^2. on [0.0, 4.0]: degree 3, relative error 2^-25.2 */
static const float NEAR_SINH_float[4] = {0x1.0000000000000p+0f, 0x1.5555980000000p-5f, 0x1.10f77c0000000p-11f, 0x1.ab3c680000000p-19f};
/* 2 sinh(x/2) / x, where u = x^2. on [0.0, 4.0]: degree 7, relative error 2^-56.55 */
static const double NEAR_SINH_double[8] = {0x1.0000000000000p+0, 0x1.5555555555556p-5, 0x1.11111111110a6p-11, 0x1.a01a01a02899fp-19, 0x1.71de3a465b069p-27, 0x1.ae64671b2a8f5p-36, 0x1.611a561707ffcp-45, 0x1.b4c75c96d331bp-55};
/* (x cosh(x/2) - 2 sinh(x/2)) / x^3, where u = x^2. on [0.0, 4.0]: degree 3, relative error 2^-24.56 */
static const float NEAR_ODD_float[4] = {0x1.5555560000000p-4f, 0x1.1111320000000p-9f, 0x1.37fe7c0000000p-16f, 0x1.7a50b20000000p-24f};
/* (x cosh(x/2) - 2 sinh(x/2)) / x^3, where u = x^2. on [0.0, 4.0]: degree 7, relative error 2^-54.0 */
static const double NEAR_ODD_double[8] = {0x1.5555555555555p-4, 0x1.1111111111111p-9, 0x1.38138138137dcp-16, 0x1.71de3a55735f6p-24, 0x1.0cfeb608becf6p-32, 0x1.08db503e4c2d8p-41, 0x1.78a6a8b21c469p-51, 0x1.9a85bd6da7f14p-61};
/* (x sinh(x/2) - 2 cosh(x/2) log cosh(x/2)) / x^2, where u = x^2. on [0.0, 4.0]: degree 4, relative error 2^-22.18 */
static const float NEAR_JS_float[5] = {0x1.0000000000000p-2f, 0x1.d513960000000p-22f, 0x1.c4bf800000000p-13f, -0x1.4cfb560000000p-17f, 0x1.a532fa0000000p-22f};
/* (x sinh(x/2) - 2 cosh(x/2) log cosh(x/2)) / x^2, where u = x^2. on [0.0, 4.0]: degree 13, relative error 2^-56.88 */
static const double NEAR_JS_double[14] = {0x1.0000000000000p-2, 0x1.0558c2f2f3de9p-53, 0x1.c71c71c707cb6p-13, -0x1.6c16c162f33cap-17, 0x1.8006ed533f206p-21, -0x1.aebdbba1a1935p-25, 0x1.fea64b163fb14p-29, -0x1.3b4b203586cebp-32, 0x1.909a90fc3353fp-36, -0x1.0087e710b8f51p-39, 0x1.3b6fd0b6a2ffep-43, -0x1.50fd76ad12f25p-47, 0x1.071462ec0f059p-51, -0x1.aa4a0cc58db9fp-57};
/* (2 sinh(x/4) / x)^2, where u = x^2. on [0.0, 4.0]: degree 3, relative error 2^-27.29 */
static const float NEAR_HELLINGER_float[4] = {0x1.0000000000000p-2f, 0x1.5555700000000p-8f, 0x1.6c021c0000000p-15f, 0x1.a908600000000p-23f};
/* (2 sinh(x/4) / x)^2, where u = x^2. on [0.0, 4.0]: degree 7, relative error 2^-57.45 */
static const double NEAR_HELLINGER_double[8] = {0x1.0000000000000p-2, 0x1.5555555555555p-8, 0x1.6c16c16c16be6p-15, 0x1.a01a01a020990p-23, 0x1.27e4fb70c3f88p-31, 0x1.1eed966f86db0p-40, 0x1.938e53243a6a7p-50, 0x1.b417314c70aa4p-60};
/* (exp(-x) - 1 + x) / x^2. on [-2.0, 2.0]: degree 8, relative error 2^-23.03 */
static const float NEAR_KL_float[9] = {0x1.0000000000000p-1f, -0x1.5555400000000p-3f, 0x1.55559c0000000p-5f, -0x1.11168c0000000p-7f, 0x1.6c0b960000000p-10f, -0x1.9ec05e0000000p-13f, 0x1.a0cefa0000000p-16f, -0x1.900d700000000p-19f, 0x1.2e87e40000000p-22f};
/* (exp(-x) - 1 + x) / x^2. on [-2.0, 2.0]: degree 17, relative error 2^-54.87 */
static const double NEAR_KL_double[18] = {0x1.0000000000000p-1, -0x1.5555555555555p-3, 0x1.5555555555552p-5, -0x1.1111111111127p-7, 0x1.6c16c16c16f12p-10, -0x1.a01a01a018bc3p-13, 0x1.a01a019ff7f8dp-16, -0x1.71de3a55ecdb6p-19, 0x1.27e4fb8339197p-22, -0x1.ae64564b686bbp-26, 0x1.1eed8a942395bp-29, -0x1.61246c965c921p-33, 0x1.93993b666001fp-37, -0x1.ae7cae9532e4dp-41, 0x1.ae0130d2fb709p-45, -0x1.9562894b6b994p-49, 0x1.793f78cd69bbbp-53, -0x1.335c007f191f4p-57};
/* (1 + z) log(2 / (1 + z)). on [0.0, 0.1353]: degree 4, relative error 2^-27.02 */
static const float FAR_JS_float[5] = {0x1.62e4300000000p-1f, -0x1.3a37f80000000p-2f, -0x1.ffeb5e0000000p-2f, 0x1.51ecf60000000p-3f, -0x1.190c5a0000000p-4f};
/* (1 + z) log(2 / (1 + z)). on [0.0, 0.1353]: degree 10, relative error 2^-54.49 */
static const double FAR_JS_double[11] = {0x1.62e42fefa39efp-1, -0x1.3a37a020b8c37p-2, -0x1.fffffffffe757p-2, 0x1.55555553efb01p-3, -0x1.555554aebb6c5p-4, 0x1.99996c32513dcp-5, -0x1.110d316f8e29cp-5, 0x1.85aaf7b52b95ap-6, -0x1.20a58b1f64394p-6, 0x1.99422fdcce63cp-7, -0x1.97279534c3e33p-8};
/* ((1 + t) log(1 + t) + (1 - t) log(1 - t)) / (4 t^2), where z = (1 - t^2) / 4.
 * Around 2^e for z + JS_SHIFT in 2^e [0.5625, 1.125), e = -2 to -17:
 * degree 6, relative error 2^-24.05.  A column is a polynomial; its place is
 * what the bits of the exponent are, modulo 16, once JS_CARRY EXPONENT_ONE is added. */
#define JS_SHIFT 0x1.0e00000000000p-17
#define JS_CARRY 0x1.c000000000000p-1
_Alignas(64) static const float JS_float[7][16] = {
    {0x1.62c9e20000000p-2f, 0x1.62ac1a0000000p-2f, 0x1.6276ec0000000p-2f, 0x1.62185c0000000p-2f, 0x1.6171dc0000000p-2f, 0x1.6050e40000000p-2f, 0x1.5e64cc0000000p-2f, 0x1.5b32b60000000p-2f, 0x1.560b180000000p-2f, 0x1.4e08880000000p-2f, 0x1.4223d20000000p-2f, 0x1.3168d00000000p-2f, 0x1.1b4b2a0000000p-2f, 0x1.00005a0000000p-2f, 0x1.62eafc0000000p-2f, 0x1.62daac0000000p-2f},
    {-0x1.fbb0440000000p+1f, -0x1.c4ed680000000p+1f, -0x1.9421ea0000000p+1f, -0x1.65fea00000000p+1f, -0x1.3953c80000000p+1f, -0x1.0dc4e60000000p+1f, -0x1.c6cdc40000000p+0f, -0x1.7542140000000p+0f, -0x1.2845b80000000p+0f, -0x1.c3610e0000000p-1f, -0x1.472f7a0000000p-1f, -0x1.bf74280000000p-2f, -0x1.1e69880000000p-2f, -0x1.5556600000000p-3f, -0x1.a96ea00000000p+7f, -0x1.222b140000000p+2f},
    {0x1.5aad6e0000000p+13f, 0x1.25b53c0000000p+12f, 0x1.101cda0000000p+11f, 0x1.0556540000000p+10f, 0x1.fcdc580000000p+8f, 0x1.f046740000000p+7f, 0x1.e0c5f00000000p+6f, 0x1.caee3c0000000p+5f, 0x1.abadf20000000p+4f, 0x1.80c79c0000000p+3f, 0x1.49eb440000000p+2f, 0x1.09e3360000000p+1f, 0x1.8d990a0000000p-1f, 0x1.117aa40000000p-2f, 0x1.690f520000000p+29f, 0x1.dff09c0000000p+14f},
    {-0x1.3f3d580000000p+27f, -0x1.c72ea80000000p+24f, -0x1.8840ca0000000p+22f, -0x1.6d4dde0000000p+20f, -0x1.603e360000000p+18f, -0x1.58ca480000000p+16f, -0x1.52ee620000000p+14f, -0x1.4bfeec0000000p+12f, -0x1.417b160000000p+10f, -0x1.30a2860000000p+8f, -0x1.16c3d60000000p+6f, -0x1.e4c5f80000000p+3f, -0x1.89a6340000000p+1f, -0x1.1988b20000000p-1f, -0x1.4f05ba0000000p+50f, -0x1.15f87c0000000p+31f},
    {0x1.efc6500000000p+41f, 0x1.1594f60000000p+38f, 0x1.b53fb80000000p+34f, 0x1.8730dc0000000p+31f, 0x1.725b0c0000000p+28f, 0x1.67deb60000000p+25f, 0x1.61893e0000000p+22f, 0x1.5c0bf20000000p+19f, 0x1.54e66a0000000p+16f, 0x1.49703e0000000p+13f, 0x1.368a480000000p+10f, 0x1.192f800000000p+7f, 0x1.e037b80000000p+3f, 0x1.f6232e0000000p+0f, 0x1.5ac6740000000p+70f, 0x1.9dace00000000p+49f},
    {0x1.a56a420000000p+55f, -0x1.dfaa780000000p+48f, -0x1.81dc6c0000000p+45f, -0x1.934e640000000p+41f, -0x1.9434660000000p+37f, -0x1.929f500000000p+33f, -0x1.90394e0000000p+29f, -0x1.8c57ec0000000p+25f, -0x1.8550140000000p+21f, -0x1.7858b20000000p+17f, -0x1.616d8a0000000p+13f, -0x1.3c2cfa0000000p+9f, -0x1.0692040000000p+5f, 0x1.4db0940000000p+1f, -0x1.7ae1d40000000p+89f, 0x1.e90c380000000p+67f},
    {0x1.62b9180000000p+73f, 0x1.c7d44c0000000p+66f, 0x1.1ae4460000000p+61f, 0x1.c552d00000000p+55f, 0x1.9726fa0000000p+50f, 0x1.81e6180000000p+45f, 0x1.772f580000000p+40f, 0x1.70d3b40000000p+35f, 0x1.6b84f00000000p+30f, 0x1.64c9ec0000000p+25f, 0x1.59f7080000000p+20f, 0x1.47b8ac0000000p+15f, 0x1.2a7e1a0000000p+10f, 0x1.693e860000000p+5f, 0x1.5530a20000000p+107f, 0x1.7668a60000000p+84f},
};
#endif
