/* One compute type: what V, T and the limits of its window mean in the texts that are written for both.
 *
 * Inside the window [LOW, HIGH] no term of any divergence overflows or loses digits to subnormals; LIFT takes what lies below into it.
 * EXP_LIMIT: e^-EXP_LIMIT is normal, and below the window in float.  HEADROOM, WINDOW: e^-WINDOW is inside it, and sums
 * of a few hundred e^HEADROOM times what is inside it are finite.
 * NEAR_0: what is that near to 0 need not be moved before it is split into a power of two and a rest.  Rows whose sums are
 * beyond SUM_LIMIT or below its inverse are scaled by powers of two first, in double.  A pair of which one is below LOW and the other
 * above IMMENSE has no room to be lifted.
 */
#ifdef COMPUTE_IN_DOUBLE
#define T double
#define V vd
#define M md
#define N 8
#define INTEGERS vdi
#define F(name) name##_double
#define VNAME(name) vd_##name
#define INAME(name) vdi_##name
#define COMPUTES_DOUBLE 1
#define NATIVE FD_float64
#define UNIT 0x1p-53
#define EXPONENT_ONE ((int64_t)1 << 52)
#define MAGIC 0x1.8p52
#define LOG2_E 0x1.71547652b82fep+0
#define LN2_HIGH 0x1.62e42fefa2p-1
#define LN2_LOW 0x1.9ef35793c7673p-41
#define EXP_LIMIT 707.0
#define HEADROOM 300.0
#define WINDOW 620.0
#define NEAR_0 4096.0
#define EXPONENT_LIMIT 0x1p40
#define LOW 0x1p-900
#define HIGH 0x1p60
#define LIFT 0x1p200
#define LIFT_LOG 0x1.1542457337d43p+7
#define LIFT_LOG_LOW -0x1.e3948c376279dp-49
#define IMMENSE 0x1p800
#define LEAST 0x1p-1000
#define NORMAL 0x1p-1022 /* the least */
#define SUM_LIMIT 0x1p400
#define SCALE_LIMIT 960 /* 2^-960 of two pieces is normal */
#define LARGER 0x1p1000
#define ONE_LOOP_LEAST 0x1p-600
#define EXPONENT_BIAS 1023
#else
#define T float
#define V vf
#define M mf
#define N 16
#define INTEGERS vfi
#define F(name) name##_float
#define VNAME(name) vf_##name
#define INAME(name) vfi_##name
#define COMPUTES_DOUBLE 0
#define NATIVE FD_float32
#define UNIT 0x1p-24
#define EXPONENT_ONE ((int32_t)1 << 23)
#define MAGIC 0x1.8p23
#define LOG2_E 0x1.715476p+0
#define LN2_HIGH 0x1.62e4p-1
#define LN2_LOW 0x1.7f7d1cp-20
#define EXP_LIMIT 80.0
#define HEADROOM 40.0
#define WINDOW 66.0
#define NEAR_0 512.0
#define EXPONENT_LIMIT 0x1p20
#define LOW 0x1p-96
#define HIGH 0x1p14
#define LEAST LOW
#define NORMAL 0x1p-126
#define IMMENSE INFINITY
#define LIFT 1.0 /* what is below the window is computed in double */
#define SUM_LIMIT 0x1p40
#define TINY 0x1p-90
#define ONE_LOOP_LEAST 0x1p-60
#define EXPONENT_BIAS 127
#endif
