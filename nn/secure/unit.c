#include "nn/secure/unit.h"

#include <string.h>

#include "lib/bytes.h"
#include "lib/ct.h"
#include "lib/mem.h"
#include "ot/product.h"

int sotto_unit_plan_new(sotto_unit_plan *p, const sotto_step_info *step, sotto_sign_provider provider)
{
    memset(p, 0, sizeof *p);
    if (step->op != SOTTO_STEP_UNIT && step->op != SOTTO_STEP_MAX) {
        return sotto_fail(SOTTO_ERR_ARG, "a step that is neither a unit nor a maximum has no unit plan");
    }
    int status = sotto_truncation_check(step->truncation);
    if (status != SOTTO_OK) {
        return status;
    }
    const size_t n = p->count = step->units;
    const unsigned l_next = step->truncation.l_next;
    p->truncation = step->truncation;
    p->widen = sotto_truncation_widen(step->truncation);
    p->sign = step->sign;
    p->client_ots = p->widen > 0 ? n : 0;
    p->correction_bytes = p->widen > 1 ? sotto_packed_bytes(n, p->widen - 1) : 0;
    p->choice_bytes = p->widen > 0 ? sotto_packed_bytes(n, 1) : 0;
    p->reply_bytes = sotto_packed_bytes(n, l_next);
    if (p->sign) {
        p->window = step->sign_window;
        status = sotto_sign_plan_new(&p->signs, provider, p->window.k - p->window.j, n);
        if (status != SOTTO_OK) {
            return status;
        }
        p->client_ots += n + p->signs.ots;
        p->server_ots = n;
        p->choice_bytes += p->signs.flip_bytes + sotto_packed_bytes(n, l_next) +
                           (p->widen > 0 ? sotto_packed_bytes(n, p->widen) : 0);
        p->table_bytes = p->signs.table_bytes;
        p->offer_bytes = sotto_packed_bytes(n, l_next) + p->signs.message_bytes;
        p->reply_bytes += sotto_packed_bytes(n, 1);
    }
    p->offer_bytes += p->widen > 0 ? sotto_packed_bytes(n, 1) : 0;
    p->matrix_bytes = sotto_ot_wire_bytes(p->client_ots);
    p->correction_bytes += sotto_ot_wire_bytes(p->server_ots);
    return SOTTO_OK;
}

/* ---- client ---------------------------------------------------------------------------------------------------- */

struct sotto_unit_client {
    sotto_unit_plan plan;
    uint8_t *choices;    /* packed, client_ots */
    sotto_block *ot_t;   /* client_ots; released when ready */
    uint64_t first;
    /* count words each, in one allocation */
    uint64_t *words;
    uint64_t *c_next[2]; /* both results of the truncation */
    uint64_t *top;       /* of the sign */
    uint64_t *tau, *t, *q[2];
    sotto_sign_client *signs;
};

#define CLIENT_ARRAYS 7

int sotto_unit_client_new(sotto_unit_client **out, const sotto_unit_plan *p, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng)
{
    sotto_unit_client *u = sotto_calloc(1, sizeof *u);
    if (u == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a unit layer");
    }
    u->plan = *p;
    const size_t choice_len = (p->client_ots + 7) / 8;
    u->choices = sotto_calloc(choice_len, 1);
    u->ot_t = sotto_calloc(p->client_ots, sizeof *u->ot_t);
    u->words = sotto_calloc(p->count, CLIENT_ARRAYS * sizeof *u->words);
    int status = SOTTO_OK;
    if (u->choices == NULL || u->ot_t == NULL || u->words == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", p->count);
        goto done;
    }
    uint64_t **const arrays[CLIENT_ARRAYS] = {&u->c_next[0], &u->c_next[1], &u->top, &u->tau, &u->t, &u->q[0], &u->q[1]};
    for (size_t i = 0; i < CLIENT_ARRAYS; i++) {
        *arrays[i] = u->words + i * p->count;
    }
    if (p->client_ots > 0) {
        status = sotto_rng_fill(rng, u->choices, choice_len);
        if (status == SOTTO_OK) {
            status = sotto_ot_recv(ot, chan, u->choices, p->client_ots, u->ot_t, &u->first);
        }
    }
done:
    if (status != SOTTO_OK) {
        sotto_unit_client_free(u);
        u = NULL;
    }
    *out = u;
    return status;
}

/* Shares p of rho cbar modulo 2^widen from the corrections, and the flips. */
static int client_truncate(sotto_unit_client *u, const sotto_ot *ot, const uint64_t *c, const uint64_t *correction, uint64_t *p,
                           sotto_writer *choice)
{
    const size_t n = u->plan.count;
    const unsigned m = u->plan.widen;
    sotto_block *key = sotto_calloc(n, sizeof *key);
    uint64_t *sigma = sotto_calloc(n, sizeof *sigma), *flip = sotto_calloc(n, sizeof *flip);
    int status = SOTTO_OK;
    if (key == NULL || sigma == NULL || flip == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu truncations", n);
        goto done;
    }
    sotto_ot_keys_recv(ot, u->first, n, 0, u->ot_t, key);
    sotto_truncate_choices(u->plan.truncation, flip, c, n);
    for (size_t i = 0; i < n; i++) {
        sigma[i] = sotto_bit(u->choices, i);
        flip[i] ^= sigma[i];
    }
    sotto_product_recv(m, 0, p, correction, sigma, key, n);
    sotto_product_flip(m, p, flip, NULL, n);
    sotto_write_packed(choice, flip, n, 1);
done:
    sotto_free_secret(key, n, sizeof *key);
    sotto_free_secret(sigma, n, sizeof *sigma);
    sotto_free_secret(flip, n, sizeof *flip);
    return status;
}

/* x -> (1 - 2 bit) x. */
static uint64_t negate_if(uint64_t bit, uint64_t x)
{
    const uint64_t mask = sotto_ct_mask(bit);
    return (x ^ mask) - mask;
}

/* q[1] = q[0] + 2^(l-f) share: shares of pi (1 - 2 tau) C_1 from those of C_0 and of the difference. */
static void second_product(sotto_truncation trunc, uint64_t *q1, const uint64_t *q0, const uint64_t *share, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        q1[i] = sotto_low_bits(q0[i] + (share[i] << (trunc.l - trunc.f)), trunc.l_next);
    }
}

/* tau and t from the client's OTs; q and its corrections from those where it sends. p: shares of rho cbar, NULL when the ring does not widen. */
static int client_select(sotto_unit_client *u, const sotto_ot *ot, const sotto_block *q_ot, uint64_t q_first, const uint64_t *c,
                         const uint64_t *p, sotto_writer *choice)
{
    const sotto_truncation trunc = u->plan.truncation;
    const size_t n = u->plan.count, tau_at = u->plan.widen > 0 ? n : 0;
    const unsigned m = u->plan.widen, l = trunc.l_next;
    sotto_block *key = sotto_calloc(n, sizeof *key), *k0 = sotto_calloc(n, sizeof *k0), *k1 = sotto_calloc(n, sizeof *k1);
    uint64_t *word = sotto_calloc(n, sizeof *word), *share = sotto_calloc(n, sizeof *share);
    int status = SOTTO_OK;
    if (key == NULL || k0 == NULL || k1 == NULL || word == NULL || share == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for %zu selections", n);
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        u->tau[i] = sotto_bit(u->choices, tau_at + i);
    }
    sotto_ot_keys_recv(ot, u->first + tau_at, n, 0, u->ot_t + tau_at, key);
    sotto_product_recv(l, 0, u->t, NULL, u->tau, key, n); /* tau zeta */
    sotto_sign_top_client(u->plan.window, u->top, c, n);
    uint8_t *flips = choice->data + choice->pos; /* room was counted in choice_bytes */
    sotto_sign_choose(&u->plan.signs, flips, u->choices, tau_at + n, u->top);
    choice->pos += u->plan.signs.flip_bytes;

    sotto_ot_keys_send(ot, q_first, n, 0, q_ot, k0, k1);
    for (size_t i = 0; i < n; i++) {
        word[i] = negate_if(u->tau[i], u->c_next[0][i]);
    }
    sotto_product_send(l, 0, u->q[0], word, word, k0, k1, n);
    sotto_write_packed(choice, word, n, l);
    memcpy(u->q[1], u->q[0], n * sizeof *u->q[1]);
    if (m > 0) { /* C_1 - C_0 = 2^(l-f) (cbar - 2 p), under the second words of the same keys */
        sotto_truncate_choices(trunc, word, c, n);
        for (size_t i = 0; i < n; i++) {
            word[i] = negate_if(u->tau[i], word[i] - 2 * p[i]);
        }
        sotto_product_send(m, 1, share, word, word, k0, k1, n);
        sotto_write_packed(choice, word, n, m);
        second_product(trunc, u->q[1], u->q[0], share, n);
    }
done:
    sotto_free_secret(key, n, sizeof *key);
    sotto_free_secret(k0, n, sizeof *k0);
    sotto_free_secret(k1, n, sizeof *k1);
    sotto_free_secret(word, n, sizeof *word);
    sotto_free_secret(share, n, sizeof *share);
    return status;
}

int sotto_unit_client_choose(sotto_unit_client *u, sotto_ot *ot, sotto_chan *chan, const uint64_t *c, uint8_t *choice)
{
    const sotto_unit_plan *plan = &u->plan;
    const size_t n = plan->count, payload = plan->widen > 1 ? sotto_packed_bytes(n, plan->widen - 1) : 0;
    uint8_t *body = sotto_calloc(payload, 1);
    uint64_t *correction = sotto_calloc(n, sizeof *correction), *p = sotto_calloc(n, sizeof *p);
    sotto_block *q_ot = sotto_calloc(plan->server_ots, sizeof *q_ot);
    uint64_t q_first = 0;
    int status = SOTTO_OK;
    if (body == NULL || correction == NULL || p == NULL || q_ot == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", n);
        goto done;
    }
    if (payload > 0) {
        status = sotto_chan_recv(chan, body, payload);
        if (status != SOTTO_OK) {
            goto done;
        }
        sotto_reader r;
        sotto_reader_init(&r, body, payload);
        sotto_read_packed(&r, correction, n, plan->widen - 1);
        status = sotto_reader_finish(&r, "OT payload of a truncation");
        if (status != SOTTO_OK) {
            goto done;
        }
        for (size_t i = 0; i < n; i++) {
            correction[i] <<= 1;
        }
    }
    if (plan->server_ots > 0) {
        status = sotto_ot_send(ot, chan, plan->server_ots, q_ot, &q_first);
        if (status != SOTTO_OK) {
            goto done;
        }
    }
    sotto_writer w;
    sotto_writer_init(&w, choice, plan->choice_bytes);
    if (plan->widen > 0) {
        status = client_truncate(u, ot, c, correction, p, &w);
        if (status != SOTTO_OK) {
            goto done;
        }
    }
    sotto_truncate_client(plan->truncation, u->c_next, c, plan->widen > 0 ? p : NULL, n);
    if (plan->sign) {
        status = client_select(u, ot, q_ot, q_first, c, plan->widen > 0 ? p : NULL, &w);
    }
done:
    sotto_free(body);
    sotto_free(correction);
    sotto_free_secret(p, n, sizeof *p);
    sotto_free_secret(q_ot, plan->server_ots, sizeof *q_ot);
    return status;
}

/* The truncation and tau OTs have been turned into words by now; only the sign's are still needed. */
int sotto_unit_client_ready(sotto_unit_client *u, const sotto_ot *ot, const uint8_t *tables)
{
    int status = SOTTO_OK;
    if (u->plan.sign) {
        const size_t at = u->plan.client_ots - u->plan.signs.ots;
        status = sotto_sign_client_new(&u->signs, &u->plan.signs, ot, u->first + at, u->ot_t + at, u->top, tables);
    }
    sotto_free_secret(u->ot_t, u->plan.client_ots, sizeof *u->ot_t);
    sotto_free_secret(u->choices, (u->plan.client_ots + 7) / 8, 1);
    u->ot_t = NULL;
    u->choices = NULL;
    return status;
}

int sotto_unit_client_reply(sotto_unit_client *u, uint8_t *reply, const uint8_t *offer, const uint64_t *r_next)
{
    const sotto_unit_plan *plan = &u->plan;
    const size_t n = plan->count;
    const unsigned l = plan->truncation.l_next;
    uint64_t *words = sotto_calloc(n, 5 * sizeof *words);
    if (words == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", n);
    }
    uint64_t *d = words, *z = words + n, *b = words + 2 * n, *g = words + 3 * n, *w = words + 4 * n;
    sotto_reader r;
    sotto_reader_init(&r, offer, plan->offer_bytes);
    sotto_writer out;
    sotto_writer_init(&out, reply, plan->reply_bytes);
    if (plan->widen > 0) {
        sotto_read_packed(&r, d, n, 1);
    }
    int status;
    if (plan->sign) {
        sotto_read_packed(&r, z, n, l);
        const uint8_t *message = sotto_read_span(&r, plan->signs.message_bytes);
        status = sotto_reader_finish(&r, "offer of a unit layer");
        if (status == SOTTO_OK) {
            status = sotto_sign_open(u->signs, b, message);
        }
        if (status == SOTTO_OK) {
            sotto_select_answer(l, g, w, b, u->tau, d, z, (const uint64_t *const *)u->c_next, u->t, (const uint64_t *const *)u->q,
                                r_next, n);
            sotto_write_packed(&out, g, n, 1);
            sotto_write_packed(&out, w, n, l);
        }
    } else {
        status = sotto_reader_finish(&r, "offer of a unit layer");
        for (size_t i = 0; i < n; i++) {
            w[i] = sotto_ct_select(sotto_ct_mask(d[i]), u->c_next[1][i], u->c_next[0][i]) - r_next[i];
        }
        sotto_write_packed(&out, w, n, l);
    }
    sotto_free_secret(words, n, 5 * sizeof *words);
    return status;
}

void sotto_unit_client_free(sotto_unit_client *u)
{
    if (u == NULL) {
        return;
    }
    sotto_sign_client_free(u->signs);
    sotto_free_secret(u->choices, (u->plan.client_ots + 7) / 8, 1);
    sotto_free_secret(u->ot_t, u->plan.client_ots, sizeof *u->ot_t);
    sotto_free_secret(u->words, u->plan.count, CLIENT_ARRAYS * sizeof *u->words);
    sotto_free_secret(u, 1, sizeof *u);
}

/* ---- server ---------------------------------------------------------------------------------------------------- */

struct sotto_unit_server {
    sotto_unit_plan plan;
    sotto_block *ot_q;  /* client_ots; released when ready */
    uint64_t first;
    sotto_block *pi_t;  /* server_ots; released when ready */
    uint8_t *pi_bits;   /* packed */
    uint64_t pi_first;
    uint64_t *words;    /* count words each, in one allocation */
    uint64_t *rho, *p;  /* truncation */
    uint64_t *pi, *zeta, *t, *q[2];
    uint64_t *a_next, *d; /* made by the offer */
    sotto_sign_server *signs;
};

#define SERVER_ARRAYS 9

int sotto_unit_server_new(sotto_unit_server **out, const sotto_unit_plan *p, sotto_ot *ot, sotto_chan *chan)
{
    sotto_unit_server *u = sotto_calloc(1, sizeof *u);
    if (u == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a unit layer");
    }
    u->plan = *p;
    u->ot_q = sotto_calloc(p->client_ots, sizeof *u->ot_q);
    u->pi_t = sotto_calloc(p->server_ots, sizeof *u->pi_t);
    u->pi_bits = sotto_calloc((p->server_ots + 7) / 8, 1);
    u->words = sotto_calloc(p->count, SERVER_ARRAYS * sizeof *u->words);
    int status = SOTTO_OK;
    if (u->ot_q == NULL || u->pi_t == NULL || u->pi_bits == NULL || u->words == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", p->count);
        goto done;
    }
    uint64_t **const arrays[SERVER_ARRAYS] = {&u->rho, &u->p, &u->pi, &u->zeta, &u->t, &u->q[0], &u->q[1], &u->a_next, &u->d};
    for (size_t i = 0; i < SERVER_ARRAYS; i++) {
        *arrays[i] = u->words + i * p->count;
    }
    if (p->client_ots > 0) {
        status = sotto_ot_send(ot, chan, p->client_ots, u->ot_q, &u->first);
    }
done:
    if (status != SOTTO_OK) {
        sotto_unit_server_free(u);
        u = NULL;
    }
    *out = u;
    return status;
}

/* rho, p (for the random sigma as yet) and the payload. */
static int server_truncate(sotto_unit_server *u, const sotto_ot *ot, sotto_block *key, uint8_t *payload)
{
    const size_t n = u->plan.count;
    const unsigned m = u->plan.widen;
    sotto_block *k0 = key, *k1 = key + n;
    uint64_t *correction = u->d; /* not used before the offer */
    sotto_ot_keys_send(ot, u->first, n, 0, u->ot_q, k0, k1);
    sotto_product_send_random(m, 0, u->p, correction, k0, k1, n);
    for (size_t i = 0; i < n; i++) {
        u->rho[i] = correction[i] & 1;
        correction[i] >>= 1; /* delta - rho without its low bit, which is zero */
    }
    if (m > 1) {
        sotto_writer w;
        sotto_writer_init(&w, payload, sotto_packed_bytes(n, m - 1));
        sotto_write_packed(&w, correction, n, m - 1);
        return w.status;
    }
    return SOTTO_OK;
}

int sotto_unit_server_correct(sotto_unit_server *u, sotto_ot *ot, sotto_chan *chan, const sotto_rng *rng)
{
    const sotto_unit_plan *plan = &u->plan;
    const size_t n = plan->count, payload = plan->widen > 1 ? sotto_packed_bytes(n, plan->widen - 1) : 0;
    sotto_block *key = sotto_calloc(n, 2 * sizeof *key);
    uint8_t *body = sotto_calloc(payload, 1);
    int status = SOTTO_OK;
    if (key == NULL || body == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", n);
        goto done;
    }
    if (plan->widen > 0) {
        status = server_truncate(u, ot, key, body);
        if (status == SOTTO_OK && payload > 0) {
            status = sotto_chan_send(chan, body, payload);
        }
        if (status != SOTTO_OK) {
            goto done;
        }
    }
    if (plan->sign) {
        const size_t at = plan->widen > 0 ? n : 0;
        sotto_block *k0 = key, *k1 = key + n;
        sotto_ot_keys_send(ot, u->first + at, n, 0, u->ot_q + at, k0, k1);
        sotto_product_send_random(plan->truncation.l_next, 0, u->t, u->zeta, k0, k1, n);
        status = sotto_rng_fill(rng, u->pi_bits, (n + 7) / 8);
        if (status != SOTTO_OK) {
            goto done;
        }
        for (size_t i = 0; i < n; i++) {
            u->pi[i] = sotto_bit(u->pi_bits, i);
        }
        status = sotto_ot_recv(ot, chan, u->pi_bits, n, u->pi_t, &u->pi_first);
    }
done:
    sotto_free_secret(key, n, 2 * sizeof *key);
    sotto_free(body);
    return status;
}

int sotto_unit_server_ready(sotto_unit_server *u, const sotto_ot *ot, const uint8_t *choice, uint8_t *tables, const sotto_rng *rng)
{
    const sotto_unit_plan *plan = &u->plan;
    const sotto_truncation trunc = plan->truncation;
    const size_t n = plan->count;
    sotto_block *key = sotto_calloc(n, sizeof *key);
    uint64_t *word = sotto_calloc(n, 2 * sizeof *word);
    int status = SOTTO_OK;
    if (key == NULL || word == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", n);
        goto done;
    }
    sotto_reader r;
    sotto_reader_init(&r, choice, plan->choice_bytes);
    if (plan->widen > 0) {
        sotto_read_packed(&r, word, n, 1);
        sotto_product_flip(plan->widen, u->p, word, u->rho, n);
    }
    if (plan->sign) {
        const uint8_t *flips = sotto_read_span(&r, plan->signs.flip_bytes);
        uint64_t *low = word, *high = word + n;
        sotto_read_packed(&r, low, n, trunc.l_next);
        if (plan->widen > 0) {
            sotto_read_packed(&r, high, n, plan->widen);
        }
        status = sotto_reader_finish(&r, "choices of a unit layer");
        if (status != SOTTO_OK) {
            goto done;
        }
        sotto_ot_keys_recv(ot, u->pi_first, n, 0, u->pi_t, key);
        sotto_product_recv(trunc.l_next, 0, u->q[0], low, u->pi, key, n);
        memcpy(u->q[1], u->q[0], n * sizeof *u->q[1]);
        if (plan->widen > 0) {
            sotto_product_recv(plan->widen, 1, high, high, u->pi, key, n);
            second_product(trunc, u->q[1], u->q[0], high, n);
        }
        const size_t at = plan->client_ots - plan->signs.ots;
        status = sotto_sign_server_new(&u->signs, &plan->signs, ot, u->first + at, u->ot_q + at, flips, u->pi, tables, rng);
    } else {
        status = sotto_reader_finish(&r, "choices of a unit layer");
    }
    sotto_free_secret(u->ot_q, plan->client_ots, sizeof *u->ot_q);
    sotto_free_secret(u->pi_t, plan->server_ots, sizeof *u->pi_t);
    sotto_free_secret(u->pi_bits, (plan->server_ots + 7) / 8, 1);
    u->ot_q = u->pi_t = NULL;
    u->pi_bits = NULL;
done:
    sotto_free_secret(key, n, sizeof *key);
    sotto_free_secret(word, n, 2 * sizeof *word);
    return status;
}

void sotto_unit_server_offer(sotto_unit_server *u, uint8_t *offer, const uint64_t *a)
{
    const sotto_unit_plan *plan = &u->plan;
    const size_t n = plan->count;
    const int widens = plan->widen > 0;
    sotto_writer w;
    sotto_writer_init(&w, offer, plan->offer_bytes);
    /* The tops are read first: Z below takes the place of nothing that they need. */
    if (plan->sign) {
        sotto_sign_top_server(plan->window, u->a_next, a, n);
        sotto_sign_offer(u->signs, offer + plan->offer_bytes - plan->signs.message_bytes, u->a_next);
    }
    sotto_truncate_server(plan->truncation, u->a_next, u->d, a, widens ? u->rho : NULL, widens ? u->p : NULL, n);
    if (widens) {
        sotto_write_packed(&w, u->d, n, 1);
    }
    if (plan->sign) {
        sotto_select_offer(plan->truncation.l_next, u->zeta, u->a_next, u->pi, u->zeta, n);
        sotto_write_packed(&w, u->zeta, n, plan->truncation.l_next);
    }
}

int sotto_unit_server_finish(sotto_unit_server *u, uint64_t *e, const uint8_t *reply)
{
    const sotto_unit_plan *plan = &u->plan;
    const size_t n = plan->count;
    const unsigned l = plan->truncation.l_next;
    uint64_t *words = sotto_calloc(n, 2 * sizeof *words);
    if (words == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a layer of %zu units", n);
    }
    uint64_t *g = words, *w = words + n;
    sotto_reader r;
    sotto_reader_init(&r, reply, plan->reply_bytes);
    if (plan->sign) {
        sotto_read_packed(&r, g, n, 1);
    }
    sotto_read_packed(&r, w, n, l);
    const int status = sotto_reader_finish(&r, "reply of a unit layer");
    if (status == SOTTO_OK && plan->sign) {
        sotto_select_finish(l, e, g, w, u->pi, u->d, u->a_next, u->t, (const uint64_t *const *)u->q, n);
    } else if (status == SOTTO_OK) {
        for (size_t i = 0; i < n; i++) {
            e[i] = sotto_low_bits(u->a_next[i] + w[i], l);
        }
    }
    sotto_free_secret(words, n, 2 * sizeof *words);
    return status;
}

void sotto_unit_server_free(sotto_unit_server *u)
{
    if (u == NULL) {
        return;
    }
    sotto_sign_server_free(u->signs);
    sotto_free_secret(u->ot_q, u->plan.client_ots, sizeof *u->ot_q);
    sotto_free_secret(u->pi_t, u->plan.server_ots, sizeof *u->pi_t);
    sotto_free_secret(u->pi_bits, (u->plan.server_ots + 7) / 8, 1);
    sotto_free_secret(u->words, u->plan.count, SERVER_ARRAYS * sizeof *u->words);
    sotto_free_secret(u, 1, sizeof *u);
}
