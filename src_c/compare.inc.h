/* Everything about one token: what two rows of logits, or one, say of it.
 *
 * 1. Both log-sum-exps, whose exponentials are kept; with them the most probable tokens, their probabilities and the label's.
 * 2. One loop over both rows for all fields that are sums over the vocabulary (fused.inc.h).
 * 3. A loop for each of the others that is asked for.
 * The rows come from memory in step 1; afterwards they are in the cache, unless they are longer than it.
 */
static int F(chi2_divergence_given)(const log_sum_double *, const log_sum_double *, fd_row, fd_row, ptrdiff_t, double, double *);
static int F(weighted_js_divergence_given)(const log_sum_double *, const log_sum_double *, fd_row, fd_row, ptrdiff_t, double, double *);

FD_INLINE T F(element)(fd_row row, ptrdiff_t i) {
    T buffer[1];
    return *F(load)(row, i, 1, buffer);
}

/* How many elements of [first, last) are above `limit`, or equal to it where `ties`. */
FD_INLINE ptrdiff_t F(count_above)(fd_row row, ptrdiff_t first, ptrdiff_t last, T limit, int ties) {
    T buffer[BLOCK];
    ptrdiff_t above = 0;
    for (ptrdiff_t start = first; start < last; start += BLOCK) {
        int count = last - start < BLOCK ? (int)(last - start) : BLOCK;
        const T *a = F(load)(row, start, count, buffer);
        for (int i = 0; i < count; i += N) {
            int some = count - i < N ? count - i : N;
            V x = some < N ? VNAME(loadn)(a + i, some) : VNAME(load)(a + i);
            M more = ties ? v_le(C(limit), x) : v_lt(C(limit), x);
            above += m_count(some < N ? m_and(more, VNAME(first)(some)) : more);
        }
    }
    return above;
}

/* 1 for the most probable token; the first of equal ones comes before the others. */
static double F(rank)(fd_row row, ptrdiff_t n, int64_t label) {
    if (label < 0 || label >= n) return 0.0;
    T x = F(element)(row, (ptrdiff_t)label);
    return 1.0 + (double)(F(count_above)(row, 0, (ptrdiff_t)label, x, 1) + F(count_above)(row, (ptrdiff_t)label + 1, n, x, 0));
}

/* The indices of the `top` largest elements, descending; the first of equal ones comes before the others. */
static void F(largest)(fd_row row, ptrdiff_t n, int top, ptrdiff_t *at) {
    T buffer[BLOCK], value[FD_TOP + 1];
    int found = 0;
    for (ptrdiff_t start = 0; start < n; start += BLOCK) {
        int count = n - start < BLOCK ? (int)(n - start) : BLOCK;
        const T *a = F(load)(row, start, count, buffer);
        for (int i = 0; i < count; i += N) {
            int some = count - i < N ? count - i : N;
            if (found == top && some == N && !m_any(v_lt(C(value[top - 1]), VNAME(load)(a + i)))) continue;
            for (int j = i; j < i + some; j++) {
                if (found == top && !(a[j] > value[top - 1])) continue;
                int k = found < top ? found++ : top - 1;
                for (; k > 0 && value[k - 1] < a[j]; k--) value[k] = value[k - 1], at[k] = at[k - 1];
                value[k] = a[j];
                at[k] = start + j;
            }
        }
    }
}

/* The share of the `top` most probable tokens that both rows have. */
static double F(top_overlap)(fd_row a, fd_row b, ptrdiff_t n, int64_t top) {
    ptrdiff_t at_a[FD_TOP], at_b[FD_TOP];
    int k = (int)(top < n ? top : n), both = 0;
    F(largest)(a, n, k, at_a);
    F(largest)(b, n, k, at_b);
    for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++) both += at_a[i] == at_b[j];
    return (double)both / k;
}

/* In float, 0 if a log-sum-exp is for double. */
static int F(whole)(F(log_sum) s, log_sum_double *result) {
    *result = (log_sum_double){s.max, s.others, s.argmax, s.invalid};
    return COMPUTES_DOUBLE || !(s.others < 0x1p-60);
}

/* The sum of p is known already, and that of q is the difference less. */
static sums F(compared_sums)(int some, fd_row a, fd_row b, ptrdiff_t n, frame f, F(roots) e, double P) {
    sums s = some ? F(fused_pass)(COMPARED_SHORT, a, b, n, f, e) : F(fused_pass)(COMPARED, a, b, n, f, e);
    s.P = P;
    s.Q = P - s.S;
    return s;
}

static int row_compare_double(fd_row, fd_row, ptrdiff_t, const fd_token *, double[FD_COMPARISONS]);
#define WANTED(field) (token->wanted >> FD_COMPARE_##field & 1)
static int F(row_compare)(fd_row a, fd_row b, ptrdiff_t n, const fd_token *token, double result[FD_COMPARISONS]) {
    int64_t fused = token->wanted & ((1 << FD_FUSED) - 1);
    if (token->weight != 0.5) fused &= ~(int64_t)(1 << FD_COMPARE_js);
    F(roots) e = F(roots_at)(token->scratch, n);
    log_sum_double s, t;
    if (!(F(whole)(fused ? F(lse)(a, n, 0, e.both, e.of_p) : F(lse)(a, n, 0, NULL, NULL), &s) &
          F(whole)(fused ? F(lse)(b, n, 1, e.both, e.of_q) : F(lse)(b, n, 0, NULL, NULL), &t)))
        return row_compare_double(a, b, n, token, result);
    int status = no_distribution(&s) | no_distribution(&t), again;
    for (int i = 0; i < FD_COMPARISONS; i++) result[i] = NAN;
    result[FD_COMPARE_same_top] = result[FD_COMPARE_rank_base] = result[FD_COMPARE_rank_candidate] = 0.0;
    result[FD_COMPARE_top_base] = result[FD_COMPARE_top_candidate] = -1.0;
    if (status || isnan(s.others) || isnan(t.others)) return status;
    if (fused) {
        frame f = logits_frame(&s, &t);
        int some = fused < 1 << members(COMPARED_SHORT);
        sums total = F(compared_sums)(some, a, b, n, f, e, 1.0 + s.others);
#if COMPUTES_DOUBLE
        for (int tries = 0; tries < MOVES; tries++) {
            finish(FD_total_variation, total.A[FD_COMPARE_tv], &total, &f.own, &again);
            if (!again) break;
            f = moved_frame(f, &total);
            total = F(compared_sums)(some, a, b, n, f, e, 1.0 + s.others);
        }
#else
        double js = finish(FD_js_divergence, total.A[FD_COMPARE_js], &total, &f.own, &again);
        if (js > 0.0 && js < NEAREST) return row_compare_double(a, b, n, token, result);
#endif
        for (int i = 0; i < (some ? members(COMPARED_SHORT) : FD_FUSED); i++) {
            double r = of_one_row(compared[i]) ? total.A[i] / (1.0 + s.others) : finish(member(COMPARED, i), total.A[i], &total, &f.own, &again);
            result[i] = member(COMPARED, i) == compared[i] ? r : sqrt(r);
        }
        result[FD_COMPARE_entropy_base] += scalar_log1p(s.others);
        result[FD_COMPARE_entropy_candidate] += scalar_log1p(t.others);
    }
    if (WANTED(js) && token->weight != 0.5) F(weighted_js_divergence_given)(&s, &t, a, b, n, token->weight, &result[FD_COMPARE_js]);
    if (WANTED(chi2)) F(chi2_divergence_given)(&s, &t, a, b, n, 0.0, &result[FD_COMPARE_chi2]);
    double base = F(nll)(&s, a, n, token->label), candidate = F(nll)(&t, b, n, token->label);
    result[FD_COMPARE_nll_base] = base;
    result[FD_COMPARE_nll_candidate] = candidate;
    /* Of near probabilities the difference in one piece; of far ones that would be nothing times infinity. */
    result[FD_COMPARE_delta_p] = base - candidate > 1.0 || isinf(base) ? scalar_exp(-candidate) - scalar_exp(-base)
                                                                       : scalar_exp(-base) * scalar_expm1(base - candidate);
    result[FD_COMPARE_same_top] = s.argmax == t.argmax;
    result[FD_COMPARE_top_base] = (double)s.argmax;
    result[FD_COMPARE_top_candidate] = (double)t.argmax;
    result[FD_COMPARE_confidence_base] = 1.0 / (1.0 + s.others);
    result[FD_COMPARE_confidence_candidate] = 1.0 / (1.0 + t.others);
    if (WANTED(rank_base)) result[FD_COMPARE_rank_base] = F(rank)(a, n, token->label);
    if (WANTED(rank_candidate)) result[FD_COMPARE_rank_candidate] = F(rank)(b, n, token->label);
    if (WANTED(top_k_overlap)) result[FD_COMPARE_top_k_overlap] = F(top_overlap)(a, b, n, token->top);
    return 0;
}
#undef WANTED

static int F(row_statistics)(fd_row a, ptrdiff_t n, const fd_token *token, double result[FD_STATISTICS]) {
    log_sum_double s = F(log_sum_exp)(a, n);
    int status = no_distribution(&s);
    for (int i = 0; i < FD_STATISTICS; i++) result[i] = NAN;
    result[FD_STATISTIC_argmax] = -1.0;
    result[FD_STATISTIC_rank] = 0.0;
    result[FD_STATISTIC_logsumexp] = s.max + scalar_log1p(s.others);
    if (status || isnan(s.others)) return status;
    result[FD_STATISTIC_nll] = F(nll)(&s, a, n, token->label);
    result[FD_STATISTIC_argmax] = (double)s.argmax;
    result[FD_STATISTIC_max_prob] = 1.0 / (1.0 + s.others);
    if (token->wanted >> FD_STATISTIC_entropy & 1) result[FD_STATISTIC_entropy] = F(cross_entropy_given)(&s, &s, a, a, n);
    if (token->wanted >> FD_STATISTIC_rank & 1) result[FD_STATISTIC_rank] = F(rank)(a, n, token->label);
    return 0;
}
