/* Which instruction sets this build has and this processor can run.  One row each; a row more is all a new one needs. */
#include "fastdiv.h"

extern const fd_kernels fd_kernels_scalar;
static int always(void) { return 1; }

#if defined(__x86_64__)
#include <cpuid.h>
extern const fd_kernels fd_kernels_avx2, fd_kernels_avx512;
/* __builtin_cpu_supports also asks whether the operating system saves the registers; clang's knows f16c only from version 18 on. */
static int has_avx2(void) {
    unsigned eax, ebx, ecx = 0, edx;
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}
static int has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#elif defined(__aarch64__)
extern const fd_kernels fd_kernels_neon;
#endif

const fd_isa fd_isas[] = {
    {"scalar", &fd_kernels_scalar, always},
#if defined(__x86_64__)
    {"avx2", &fd_kernels_avx2, has_avx2},
    {"avx512", &fd_kernels_avx512, has_avx512},
#elif defined(__aarch64__)
    {"neon", &fd_kernels_neon, always},
#endif
    {NULL, NULL, NULL},
};

const char *const fd_comparison_names[] = {
#define FD_COMPARE(field, sum) [FD_COMPARE_##field] = #field,
#define FD_FIELD(field) [FD_COMPARE_##field] = #field,
#include "divergences.def"
    [FD_COMPARISONS] = NULL,
};
const char *const fd_statistic_names[] = {
#define FD_STATISTIC(field) [FD_STATISTIC_##field] = #field,
#include "divergences.def"
    [FD_STATISTICS] = NULL,
};

const fd_description fd_descriptions[] = {
#define FD_DIVERGENCE(name_, ...) [FD_##name_].name = #name_,
#define FD_ROOT(name_, of) [FD_##name_].name = #name_,
#define FD_OTHER(name_) [FD_##name_].name = #name_,
#define FD_PARAMETER(name_, parameter_) [FD_##name_].parameter = #parameter_,
#define FD_SYMMETRIC(name_) [FD_##name_].symmetric = 1,
#define FD_UNARY(name_) [FD_##name_].unary = 1,
#include "divergences.def"
    [FD_DIVERGENCES] = {NULL, NULL, 0, 0},
};
