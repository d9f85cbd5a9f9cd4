/* Elements [first, first + count) of a row as a contiguous block of T: the row itself where it already is one, else converted
 * into `buffer`.  One conversion per storage type; strides and dtypes end here. */
static const T *F(load)(fd_row row, ptrdiff_t first, int count, T *buffer) {
    const char *from = row.data + first * row.stride;
    if (row.dtype == NATIVE) {
        if (row.stride == (ptrdiff_t)sizeof(T)) return (const T *)from;
        for (int i = 0; i < count; i++, from += row.stride) memcpy(buffer + i, from, sizeof(T));
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
    for (int start = 0; start < count; start += 16) {
        uint16_t raw[16] = {0};
        float lane[16];
        int some = count - start < 16 ? count - start : 16;
        if (row.stride == 2) {
            memcpy(raw, from, 2 * (size_t)some);
        } else {
            for (int i = 0; i < some; i++) memcpy(raw + i, from + i * row.stride, 2);
        }
        from += 16 * row.stride;
        vf_store(lane, row.dtype == FD_float16 ? vf_from_float16(raw) : vf_from_bfloat16(raw));
        for (int i = 0; i < some; i++) buffer[start + i] = lane[i];
    }
    return buffer;
}
