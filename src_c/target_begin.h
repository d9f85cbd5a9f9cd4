/* Everything between this header and target_end.h is compiled for the instruction set that FD_TARGET_* names; the build needs
 * no flags per file.  System headers come first so that none of their code is compiled for it. */
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(FD_TARGET_AVX2) || defined(FD_TARGET_AVX512)
#include <immintrin.h>
#endif
#if defined(FD_TARGET_AVX512) && defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)
#elif defined(FD_TARGET_AVX512)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,prefer-vector-width=512")
#elif defined(FD_TARGET_AVX2) && defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#elif defined(FD_TARGET_AVX2)
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
