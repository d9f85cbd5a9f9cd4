#if COMPUTES_DOUBLE
FD_INLINE void store16_double(double *to, vf x) {
    vd_store(to, vf_lo(x));
    vd_store(to + 8, vf_hi(x));
}
#else
FD_INLINE void store16_float(float *to, vf x) { vf_store(to, x); }
#endif

FD_INLINE void F(gathered)(const char *from, ptrdiff_t stride, int count, T *restrict buffer) {
    const ptrdiff_t forward = stride < 0 ? -1 : 1, size = stride * forward, line = size < 64 ? 64 : size;
    for (ptrdiff_t i = 0; i < count * size; i += line) __builtin_prefetch(from + forward * (i + PREFETCH));
    for (int i = 0; i < count; i++, from += stride) memcpy(buffer + i, from, sizeof(T));
}

/* Elements [first, first + count) of a row as a contiguous block of T: the row itself where it already is one, else converted
 * into `buffer`.  One conversion per storage type; strides, dtypes and temperatures end here. */
static const T *F(as_stored)(fd_row row, ptrdiff_t first, int count, T *buffer) {
    const char *from = row.data + first * row.stride;
    if (row.dtype == NATIVE) {
        if (row.stride == (ptrdiff_t)sizeof(T)) return (const T *)from;
        const ptrdiff_t size = sizeof(T); /* of a stride that it knows a compiler makes permutations of vectors */
        if (row.stride == -size)
            F(gathered)(from, -size, count, buffer);
        else if (row.stride == 2 * size)
            F(gathered)(from, 2 * size, count, buffer);
        else
            F(gathered)(from, row.stride, count, buffer);
        return buffer;
    }
#if COMPUTES_DOUBLE
    if (row.dtype == FD_float32) {
        for (int i = 0; i < count; i++, from += row.stride) {
            float x;
            memcpy(&x, from, sizeof x);
            buffer[i] = x;
        }
        return buffer;
    }
#endif
    int some = row.stride == 2 ? count & -16 : 0;
    for (int i = 0; i < some; i += 16) {
        const uint16_t *raw = (const uint16_t *)from + i;
        __builtin_prefetch((const char *)raw + PREFETCH);
        F(store16)(buffer + i, row.dtype == FD_float16 ? vf_from_float16(raw) : vf_from_bfloat16(raw));
    }
    for (int i = some; i < count; i += 16) {
        uint16_t raw[16] = {0};
        T last[16];
        int left = count - i < 16 ? count - i : 16;
        for (int k = 0; k < left; k++) memcpy(raw + k, from + (i + k) * row.stride, 2);
        F(store16)(last, row.dtype == FD_float16 ? vf_from_float16(raw) : vf_from_bfloat16(raw));
        memcpy(buffer + i, last, (size_t)left * sizeof(T));
    }
    return buffer;
}

FD_INLINE const T *F(load)(fd_row row, ptrdiff_t first, int count, T *buffer) {
    if (__builtin_expect(first >= FD_PIECE && first % FD_PIECE < BLOCK, 0)) fd_pause();
    const T *a = F(as_stored)(row, first, count, buffer);
#if COMPUTES_DOUBLE
    if (row.temperature != 0.0) {
        for (int i = 0; i < count; i++) buffer[i] = a[i] / row.temperature;
        return buffer;
    }
#endif
    return a;
}
