/* Products of ciphertexts x and y with parts modulo Q about zero.
 *
 * y is scaled to y' = round(R y / Q), so that y'(s) = (R/Q) y(s) + rho(s). The product z of x and y', three parts, is
 * taken modulo Q R, and w = round(t z / R) modulo Q is the result: multiples of Q R in z become multiples of t Q. With
 * y(s) = (Q/t) m_y + v_y + Q K_y and the like for x,
 *
 *     (t/R) x(s) y'(s) = x(s) m_y + t x(s) K_y + t x(s) (v_y/Q + rho(s)/R)
 *                      = (Q/t) m_x m_y + [v_x (m_y + t K_y) + t (x(s)/Q) (v_y + (Q/R) rho(s))]  modulo Q,
 *
 * an encryption of m_x m_y whose noise bfv/noise.c bounds. The choice of representatives shows in K alone, so that the
 * small inaccuracy of conversions where a value is near half its modulus only widens the range of K by 2^-41.
 *
 * Constants are folded so that no word is multiplied by itself outside a conversion or the tensor product:
 *     modulo r_j: X = t x, Y = the weight of y' (y' times (R/r_j)^-1): products are weights of t z modulo R;
 *     modulo q_i: X = x, Y = (t/R) y': products are (t/R) z.
 * Then w = (t z - [t z]_R) / R = (t/R) z + (-1/R) [t z]_R: a conversion from weights with an addend. */
#include "bfv/multiply.h"

#include <string.h>

#include "bfv/internal.h"
#include "lib/mem.h"
#include "ring/poly.h"

int sotto_bfv_conversions_new(sotto_bfv_conversions *c, const sotto_bfv_params *p)
{
    const sotto_rns *q = sotto_bfv_rns(p), *r = sotto_bfv_auxiliary(p), *special = sotto_bfv_special(p);
    const size_t k = sotto_rns_count(q), l = sotto_rns_count(r);
    uint64_t weight_q[SOTTO_RNS_MAX], r_mod_q[SOTTO_RNS_MAX], p_mod_q[SOTTO_RNS_MAX], scale_in[SOTTO_RNS_MAX];
    uint64_t back_out[SOTTO_RNS_MAX], down_out[SOTTO_RNS_MAX], divide_out[SOTTO_RNS_MAX];
    uint64_t weight_r[SOTTO_RNS_MAX], q_mod_r[SOTTO_RNS_MAX], scale_out[SOTTO_RNS_MAX], lift_out[SOTTO_RNS_MAX];
    sotto_convert_weights(q, weight_q);
    sotto_convert_weights(r, weight_r);
    sotto_convert_product(r, r_mod_q, q);
    sotto_convert_product(q, q_mod_r, r);
    sotto_convert_product(special, p_mod_q, q);
    for (size_t i = 0; i < k; i++) {
        const sotto_modulus *m = sotto_rns_modulus(q, i);
        const uint64_t inverse = sotto_mod_inv(r_mod_q[i], m);
        scale_in[i] = sotto_mod_mul(r_mod_q[i], weight_q[i], m);
        back_out[i] = sotto_mod_mul(sotto_mod_reduce(sotto_bfv_t(p), m), inverse, m);
        down_out[i] = sotto_mod_neg(inverse, m->q);
        divide_out[i] = sotto_mod_neg(sotto_mod_inv(p_mod_q[i], m), m->q);
    }
    for (size_t j = 0; j < l; j++) {
        const sotto_modulus *m = sotto_rns_modulus(r, j);
        lift_out[j] = sotto_mod_reduce(sotto_bfv_t(p), m);
        /* y' = (R y - [R y]_Q) / Q = -[R y]_Q / Q modulo R. */
        scale_out[j] = sotto_mod_mul(sotto_mod_neg(sotto_mod_inv(q_mod_r[j], m), m->q), weight_r[j], m);
    }
    const struct {
        sotto_convert **out;
        const sotto_rns *from, *to;
        const uint64_t *factor_in, *factor_out;
    } all[] = {
        {&c->lift, q, r, weight_q, lift_out},     {&c->scale, q, r, scale_in, scale_out}, {&c->back, r, q, NULL, back_out},
        {&c->down, r, q, NULL, down_out},         {&c->divide, special, q, NULL, divide_out},
    };
    int status = SOTTO_OK;
    for (size_t i = 0; status == SOTTO_OK && i < sizeof all / sizeof *all; i++)
        status = sotto_convert_new(all[i].out, all[i].from, all[i].to, all[i].factor_in, all[i].factor_out);
    return status;
}

void sotto_bfv_conversions_free(sotto_bfv_conversions *c)
{
    sotto_convert_free(c->lift);
    sotto_convert_free(c->scale);
    sotto_convert_free(c->back);
    sotto_convert_free(c->down);
    sotto_convert_free(c->divide);
    memset(c, 0, sizeof *c);
}

int sotto_bfv_relin_key_new(sotto_bfv_switch_key *key, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk,
                            const sotto_rng *rng)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    memset(key, 0, sizeof *key);
    int status = sotto_bfv_check_key(p, sk);
    if (status != SOTTO_OK)
        return status;
    uint64_t *square = sotto_poly_new(rns);
    if (square == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a relinearisation key");
    sotto_poly_mul_ntt(rns, square, sk->s_ntt, sk->s_ntt);
    status = sotto_bfv_switch_key_make(key, p, sk, square, rng);
    sotto_free_secret(square, sk->words, sizeof *square);
    return status;
}

/* d0 = x0 y0, d1 = x0 y1 + x1 y0, d2 = x1 y1 modulo one prime: coefficients from coefficients, or from the transforms of
 * x0 and x1 where `x_ntt`. All of one prime in a row, so that its tables stay in the cache. d0 and d1 replace x0 and x1,
 * d2 replaces y1; y0 is lost, and so is `room` (n words). */
static void tensor(const sotto_ntt *ntt, uint64_t *x0, uint64_t *x1, int x_ntt, uint64_t *y0, uint64_t *y1, uint64_t *room)
{
    if (!x_ntt) {
        sotto_ntt_forward(ntt, x0);
        sotto_ntt_forward(ntt, x1);
    }
    sotto_ntt_forward(ntt, y0);
    sotto_ntt_forward(ntt, y1);
    sotto_ntt_mul(ntt, room, x0, y1);
    sotto_ntt_mac(ntt, room, x1, y0);
    sotto_ntt_mul(ntt, x0, x0, y0);
    sotto_ntt_mul(ntt, y1, x1, y1);
    memcpy(x1, room, sotto_ntt_n(ntt) * sizeof *x1);
    sotto_ntt_inverse(ntt, x0);
    sotto_ntt_inverse(ntt, x1);
    sotto_ntt_inverse(ntt, y1);
}

/* What a product needs beside x itself. */
typedef struct product_room {
    uint64_t *x_r[2], *y_r[2]; /* X and Y modulo R, l n words each */
    uint64_t *y_q[2];          /* Y modulo Q, k n words each */
    uint64_t *coeff;           /* one polynomial modulo Q */
    uint64_t *limb;            /* n words */
} product_room;

/* Coefficients of a part that is in the form `ntt`, in `coeff` unless they are there already. */
static const uint64_t *coefficients(const sotto_rns *rns, uint64_t *coeff, const uint64_t *part, int ntt)
{
    if (!ntt)
        return part;
    memcpy(coeff, part, sotto_poly_words(rns) * sizeof *coeff);
    sotto_poly_inverse(rns, coeff);
    return coeff;
}

static void multiply(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_ct *y, const product_room *room)
{
    const sotto_rns *q = sotto_bfv_rns(p), *r = sotto_bfv_auxiliary(p);
    const sotto_bfv_conversions *c = sotto_bfv_conversions_of(p);
    const size_t n = sotto_bfv_n(p);
    uint64_t *const x_part[2] = {x->c0, x->c1};
    const uint64_t *const y_part[2] = {y->c0, y->c1};
    const int square = x == y;
    for (size_t i = 0; i < 2; i++) {
        const uint64_t *coeff = coefficients(q, room->coeff, y_part[i], y->ntt);
        sotto_convert_run(c->scale, room->y_r[i], n, coeff, n, NULL, n);
        sotto_convert_run(c->back, room->y_q[i], n, room->y_r[i], n, NULL, n);
        if (!square)
            coeff = coefficients(q, room->coeff, x_part[i], x->ntt);
        sotto_convert_run(c->lift, room->x_r[i], n, coeff, n, NULL, n);
    }
    for (size_t j = 0; j < sotto_rns_count(r); j++)
        tensor(sotto_rns_ntt(r, j), room->x_r[0] + j * n, room->x_r[1] + j * n, 0, room->y_r[0] + j * n,
               room->y_r[1] + j * n, room->limb);
    for (size_t i = 0; i < sotto_rns_count(q); i++)
        tensor(sotto_rns_ntt(q, i), x->c0 + i * n, x->c1 + i * n, x->ntt, room->y_q[0] + i * n, room->y_q[1] + i * n,
               room->limb);
    sotto_convert_run(c->down, x->c0, n, room->x_r[0], n, x->c0, n);
    sotto_convert_run(c->down, x->c1, n, room->x_r[1], n, x->c1, n);
    sotto_convert_run(c->down, room->y_q[1], n, room->y_r[1], n, room->y_q[1], n);
    x->ntt = 0;
}

int sotto_bfv_mul(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_ct *y, const sotto_bfv_switch_key *relin)
{
    int status = sotto_bfv_check_switch_key(p, relin);
    if (status != SOTTO_OK)
        return status;
    const size_t k_words = sotto_poly_words(sotto_bfv_rns(p)), l_words = sotto_poly_words(sotto_bfv_auxiliary(p));
    const size_t n = sotto_bfv_n(p), switch_words = sotto_bfv_add_switched_words(p);
    const size_t words = 4 * l_words + 3 * k_words + n;
    const size_t room_words = words > k_words + switch_words ? words : k_words + switch_words;
    uint64_t *base = sotto_calloc(room_words, sizeof *base);
    if (base == NULL)
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory to multiply ciphertexts");
    /* The part that belongs to s^2 ends in y_q[1], first of all; the rest is free for the switch afterwards. */
    uint64_t *rest = base + k_words;
    const product_room room = {
        .y_q = {rest, base},
        .coeff = rest + k_words,
        .limb = rest + 2 * k_words,
        .x_r = {rest + 2 * k_words + n, rest + 2 * k_words + n + l_words},
        .y_r = {rest + 2 * k_words + n + 2 * l_words, rest + 2 * k_words + n + 3 * l_words},
    };
    multiply(x, p, y, &room);
    sotto_bfv_add_switched(x, p, SOTTO_BFV_ADD_BOTH, base, NULL, relin, rest);
    sotto_free(base);
    return SOTTO_OK;
}

int sotto_bfv_square(sotto_bfv_ct *x, const sotto_bfv_params *p, const sotto_bfv_switch_key *relin)
{
    return sotto_bfv_mul(x, p, x, relin);
}
