#include "nn/plain/fixed.h"

#include <string.h>

#include "lib/ct.h"
#include "lib/mem.h"
#include "nn/plain/narrow_internal.h"

struct sotto_fixed_run {
    const sotto_program *p;
    const sotto_program_weights *w;
    uint64_t **value;             /* per step, signed; what the parties share modulo 2^l, not reduced */
    uint64_t *x, *y, *share, *share_y; /* scratch: what a step reads */
    int64_t *centred;
    size_t most;                  /* words of the largest value */
    sotto_narrow *narrow;         /* the same in 32 bits, for runs without hooks; NULL: never fits */
};

int sotto_fixed_run_new(sotto_fixed_run **out, const sotto_program *p, const sotto_program_weights *w)
{
    *out = NULL;
    sotto_fixed_run *run = sotto_calloc(1, sizeof *run);
    if (run == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for fixed-point inference");
    }
    run->p = p;
    run->w = w;
    run->value = sotto_calloc(p->step_count, sizeof *run->value);
    int bad = run->value == NULL;
    for (size_t i = 0; !bad && i < p->step_count; i++) {
        run->value[i] = sotto_calloc(p->steps[i].words, sizeof **run->value);
        run->most = p->steps[i].words > run->most ? p->steps[i].words : run->most;
        bad = run->value[i] == NULL;
    }
    uint64_t **const scratch[4] = {&run->x, &run->y, &run->share, &run->share_y};
    for (size_t i = 0; !bad && i < 4; i++) {
        *scratch[i] = sotto_calloc(run->most, sizeof **scratch[i]);
        bad = *scratch[i] == NULL;
    }
    run->centred = bad ? NULL : sotto_calloc(run->most, sizeof *run->centred);
    if (run->centred == NULL || sotto_narrow_new(&run->narrow, p, w) != SOTTO_OK) {
        sotto_fixed_run_free(run);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the values of %zu steps", p->step_count);
    }
    *out = run;
    return SOTTO_OK;
}

void sotto_fixed_run_free(sotto_fixed_run *run)
{
    if (run == NULL) {
        return;
    }
    for (size_t i = 0; run->value != NULL && i < run->p->step_count; i++) {
        sotto_free_secret(run->value[i], run->p->steps[i].words, sizeof **run->value);
    }
    sotto_free(run->value);
    sotto_free_secret(run->x, run->most, sizeof *run->x);
    sotto_free_secret(run->y, run->most, sizeof *run->y);
    sotto_free_secret(run->share, run->most, sizeof *run->share);
    sotto_free_secret(run->share_y, run->most, sizeof *run->share_y);
    sotto_free_secret(run->centred, run->most, sizeof *run->centred);
    sotto_narrow_free(run->narrow);
    sotto_free(run);
}

static int64_t centre(uint64_t x, unsigned l)
{
    return (int64_t)(x << (64 - l)) >> (64 - l);
}

/* y / 2^f: half a unit rounded up, or as the parties round it. They know it modulo 2^l_next, a unit away at most: the nearest such integer, so that what a
 * narrow ring cuts off still counts as a wrap where it matters. */
static int64_t shift_down(sotto_truncation t, uint64_t y, const uint64_t *c)
{
    const int64_t half = t.f > 0 ? INT64_C(1) << (t.f - 1) : 0;
    const int64_t plain = (centre(y, t.l) + half) >> t.f;
    return c == NULL ? plain : plain + centre(sotto_truncate_reference(t, y, *c) - (uint64_t)plain, t.l_next);
}

static uint64_t outside(uint64_t y, unsigned k, int64_t low_margin, int64_t high_margin)
{
    const int64_t v = (int64_t)y, bound = INT64_C(1) << (k - 1);
    return v < low_margin - bound || v >= bound - high_margin;
}

/* Where a sign is taken: half a step off both ends of its window. */
static uint64_t outside_sign(sotto_sign_window w, unsigned lift, uint64_t y)
{
    int64_t low, high;
    sotto_sign_range(w, lift, &low, &high);
    return (int64_t)y < low || (int64_t)y > high;
}

/* The carry of a truncation takes 2^f - 1 off the upper end of k where the ring is no wider than it must be. */
static uint64_t outside_truncation(const sotto_step_info *s, uint64_t y)
{
    const int64_t carry = sotto_truncation_widen(s->truncation) > 0 && s->truncation.l == s->k + 1 ? (INT64_C(1) << s->truncation.f) - 1 : 0;
    return outside(y, s->k, 0, carry);
}

static unsigned lift_of(const sotto_step_info *s, size_t decision)
{
    return s->lift == NULL ? 0 : s->lift[decision];
}

/* c NULL: exactly. Both shares are shifted, and with them their sum. */
static int decide(sotto_sign_window w, unsigned lift, unsigned l, uint64_t y, const uint64_t *c)
{
    return c == NULL ? centre(y, l) >= 0 : (int)sotto_sign_reference(w, y << lift, *c << lift);
}

/* Units that are all alike. out = sign ? truncation of x : 0 for relu, truncation alone for identity; share NULL: plain. */
static uint64_t units(const sotto_step_info *s, uint64_t *out, const uint64_t *x, const uint64_t *share)
{
    const sotto_truncation t = s->truncation;
    uint64_t wraps = 0;
    for (size_t i = 0; i < s->units; i++) {
        const uint64_t y = sotto_low_bits(x[i], t.l), own = share == NULL ? 0 : sotto_low_bits(share[i], t.l), *c = share == NULL ? NULL : &own;
        const int kept = !s->sign || decide(s->sign_window, lift_of(s, i), t.l, y, c);
        out[i] = kept ? (uint64_t)shift_down(t, y, c) : 0;
        wraps += outside_truncation(s, x[i]) | (s->sign && outside_sign(s->sign_window, lift_of(s, i), x[i]));
    }
    return wraps;
}

/* Both decisions as the protocol combines them; b2 implies b unless a value left its range. */
static uint64_t clips(const sotto_step_info *s, const int64_t *bound, uint64_t *out, const uint64_t *x, const uint64_t *share)
{
    const sotto_truncation t = s->truncation;
    const size_t area = (size_t)s->shape.h * s->shape.w;
    uint64_t wraps = 0;
    for (size_t i = 0; i < s->units; i++) {
        const uint64_t most = (uint64_t)bound[i / area], y = sotto_low_bits(x[i], t.l), own = share == NULL ? 0 : sotto_low_bits(share[i], t.l);
        const uint64_t *c = share == NULL ? NULL : &own;
        const unsigned lift = lift_of(s, i);
        const int b = decide(s->sign_window, lift, t.l, y, c), b2 = decide(s->sign_window, lift, t.l, sotto_low_bits(y - most, t.l), c);
        out[i] = (b != b2 ? (uint64_t)shift_down(t, y, c) : 0) + (b2 ? most >> t.f : 0);
        wraps += outside_truncation(s, x[i]) | outside_sign(s->sign_window, lift, x[i]) | outside_sign(s->sign_window, lift, x[i] - most);
    }
    return wraps;
}

/* Units of several kinds: sums of patches and of their shares first, in the words of `sum` and `sum_share`. */
static uint64_t mixed(const sotto_step_info *s, uint64_t *out, const uint64_t *x, const uint64_t *share, uint64_t *sum, uint64_t *sum_share)
{
    const sotto_truncation t = s->truncation;
    uint64_t wraps = 0;
    memset(sum, 0, s->words * sizeof *sum);
    memset(sum_share, 0, s->words * sizeof *sum_share);
    for (size_t i = 0; i < s->words; i++) {
        if (s->decision[i] < SOTTO_DECISION_ZERO) {
            sum[s->decision[i]] += x[i];
            sum_share[s->decision[i]] += share == NULL ? 0 : share[i];
        }
    }
    for (size_t d = 0; d < s->decisions; d++) {
        const sotto_sign_window w = {s->sign_window.k + s->patch_bits[d], s->sign_window.j + s->patch_bits[d]};
        wraps += outside_sign(w, lift_of(s, d), sum[d]);
        /* A sum of 0 keeps nothing, or zeros: either is 0 unless its pixels cancel; the sign bit says positive. */
        sum[d] = (uint64_t)decide(w, lift_of(s, d), t.l, sotto_low_bits(sum[d], t.l), share == NULL ? NULL : &sum_share[d]);
    }
    for (size_t i = 0; i < s->words; i++) {
        const uint64_t own = share == NULL ? 0 : sotto_low_bits(share[i], t.l);
        const uint32_t d = s->decision[i];
        const int kept = d == SOTTO_DECISION_PASS || (d != SOTTO_DECISION_ZERO && sum[d]);
        out[i] = kept ? (uint64_t)shift_down(t, sotto_low_bits(x[i], t.l), share == NULL ? NULL : &own) : 0;
        wraps += d != SOTTO_DECISION_ZERO && outside_truncation(s, x[i]);
    }
    return wraps;
}

static uint64_t maximum(sotto_fixed_run *run, const sotto_step_info *s, uint64_t *out, const uint64_t *x, const uint64_t *share)
{
    const size_t area = sotto_shape_words(s->shape), read = run->p->steps[s->in[0]].words;
    sotto_step_pairs(s, run->x, run->y, x);
    if (share != NULL) {
        sotto_step_pairs(s, run->share, run->share_y, share);
    }
    const uint64_t wraps = units(s, out, run->x, share == NULL ? NULL : run->share);
    for (size_t i = 0; i < s->units; i++) {
        out[i] += run->y[i];
    }
    if (s->words > s->units) {
        memcpy(out + s->units, x + read - area, area * sizeof *out);
    }
    return wraps;
}

/* Modulo 2^64, which the ring of the result divides; what reads it is in one ring with it. */
static void poly(const sotto_step_info *s, const int64_t *terms, uint64_t *out, const uint64_t *x)
{
    const size_t area = (size_t)s->shape.h * s->shape.w;
    for (size_t i = 0; i < s->words; i++) {
        const size_t c = i / area;
        const int64_t *term = terms + c * SOTTO_POLY_TERMS;
        uint64_t sum = s->degree[c] == 1 ? x[i] << s->shift[0] : 0;
        for (unsigned j = s->degree[c] + 1u; s->degree[c] > 1 && j-- > 0;) {
            sum = sum * x[i] + (uint64_t)term[j];
        }
        out[i] = sum;
    }
}

static void bias(const sotto_fixed_run *run, const sotto_step_info *s, size_t at, uint64_t *out)
{
    const size_t area = (size_t)s->shape.h * s->shape.w;
    for (uint32_t c = 0; c < s->shape.c; c++) {
        for (size_t i = 0; i < area; i++) {
            out[c * area + i] = (uint64_t)run->w->bias[at][c];
        }
    }
}

static void linear(const sotto_fixed_run *run, const sotto_step_info *s, size_t at, uint64_t *out, const uint64_t *x, int fast)
{
    bias(run, s, at, out);
    if (!fast || sotto_linear_infer(out, &s->linear, s->l, run->w->weights[at], x, NULL) != SOTTO_OK) {
        bias(run, s, at, out); /* the fast loops may lack memory; these need none */
        sotto_linear_apply(out, &s->linear, run->w->weights[at], x);
    }
}

void sotto_fixed_infer(sotto_fixed_run *run, int64_t *logits, const int64_t *x, const sotto_fixed_options *options, uint64_t *wraps)
{
    const sotto_program *p = run->p;
    const sotto_fixed_options plain = {0};
    uint64_t wrapped = 0;
    options = options == NULL ? &plain : options;
    if (options->share == NULL && options->seen == NULL && run->narrow != NULL && sotto_narrow_infer(run->narrow, logits, x, wraps)) {
        return;
    }
    for (size_t at = 0; at < p->step_count; at++) {
        const sotto_step_info *s = &p->steps[at];
        const uint64_t *in = run->value[s->in[0]];
        const uint64_t *share = options->share == NULL || at == 0 ? NULL : options->share(options->ctx, s->in[0]);
        uint64_t *out = run->value[at];
        switch (s->op) {
        case SOTTO_STEP_INPUT:
            memcpy(out, x, s->words * sizeof *out);
            break;
        case SOTTO_STEP_LINEAR:
            linear(run, s, at, out, in, options->fast);
            break;
        case SOTTO_STEP_ADD:
        case SOTTO_STEP_CONCAT:
        case SOTTO_STEP_PAD:
        case SOTTO_STEP_SUM:
        case SOTTO_STEP_GATHER:
            sotto_step_local(p, at, run->value);
            break;
        case SOTTO_STEP_MAX:
            wrapped += maximum(run, s, out, in, share);
            break;
        case SOTTO_STEP_POLY:
            poly(s, run->w->poly[at], out, in);
            break;
        case SOTTO_STEP_UNIT:
            wrapped += s->clip               ? clips(s, run->w->bound[at], out, in, share)
                       : s->decision == NULL ? units(s, out, in, share)
                                             : mixed(s, out, in, share, run->x, run->y);
            break;
        }
        for (size_t i = 0; i < s->words; i++) {
            run->centred[i] = centre(out[i], s->l);
        }
        if (options->seen != NULL) {
            options->seen(options->ctx, at, run->centred, s->words);
        }
    }
    const sotto_step_info *last = &p->steps[p->step_count - 1];
    for (size_t i = 0; i < last->words; i++) {
        wrapped += outside(run->value[p->step_count - 1][i], last->k, 0, 0);
        logits[i] = run->centred[i];
    }
    if (wraps != NULL) {
        *wraps += wrapped;
    }
}

size_t sotto_argmax_int(const int64_t *x, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++) {
        best = x[i] > x[best] ? i : best;
    }
    return best;
}
