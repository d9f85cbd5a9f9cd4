#if (defined(FD_TARGET_AVX2) || defined(FD_TARGET_AVX512)) && defined(__clang__)
#pragma clang attribute pop
#elif defined(FD_TARGET_AVX2) || defined(FD_TARGET_AVX512)
#pragma GCC pop_options
#endif
