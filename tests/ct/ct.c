/* Secrets marked undefined under Valgrind's memcheck, which then reports every branch and every address that depends on one
 * (`make check-ct`; the idea is Adam Langley's ctgrind, 2010). What it cannot see: the time of single instructions, division above all; tests/ct/instructions.sh
 * looks for those.
 *
 *     ct [--tier NAME] [CASE...]
 *
 * All randomness is secret, and so are messages, weights, labels and images. What leaves is declassified where it leaves: ciphertexts and keys that are sent
 * here, the bytes of a session in its channel, always because an adversary sees them anyway. Results are compared with the right ones, so that a case cannot
 * pass by computing nothing. The first cases are controls: memcheck must report each of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <valgrind/memcheck.h>

#include "bfv/answer.h"
#include "bfv/batch.h"
#include "bfv/galois.h"
#include "bfv/multiply.h"
#include "bfv/wire.h"
#include "garble/garbling.h"
#include "lib/cpu.h"
#include "lib/mem.h"
#include "lib/prg.h"
#include "ring/poly.h"
#include "ring/sample.h"
#include "tests/ct/ct.h"

_Noreturn void ct_broken(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: does not hold: %s (%s)\n", file, line, condition, sotto_error_message());
    exit(2);
}

/* ---- secret randomness ----------------------------------------------------------------------------------------------- */

static sotto_prg coins;

static int secret_fill(void *ctx, void *out, size_t len)
{
    sotto_prg_fill(ctx, out, len);
    SOTTO_SECRET(out, len);
    return SOTTO_OK;
}

sotto_rng ct_rng(void)
{
    return (sotto_rng){secret_fill, &coins};
}

static uint64_t public_word(void)
{
    uint64_t v;
    sotto_prg_fill(&coins, &v, sizeof v);
    return v;
}

/* ---- controls ------------------------------------------------------------------------------------------------------------ */

static volatile unsigned sink;

static void control_branch(void)
{
    uint64_t x = public_word();
    SOTTO_SECRET(&x, sizeof x);
    if (x & 1) {
        sink = 1; /* volatile: no compiler may do this unconditionally */
    }
}

static void control_index(void)
{
    static volatile uint8_t table[256];
    uint64_t x = public_word();
    SOTTO_SECRET(&x, sizeof x);
    sink = table[x & 255];
}

/* Through the library: a secret that goes where only public values may. */
static void control_library(void)
{
    sotto_modulus m;
    uint64_t x = public_word();
    require(sotto_modulus_init(&m, 12289) == SOTTO_OK);
    SOTTO_SECRET(&x, sizeof x);
    sink = (unsigned)sotto_mod_pow_var(3, x & 0xfff, &m);
}

/* ---- lattices ------------------------------------------------------------------------------------------------------------ */

static const struct set {
    uint32_t n;
    unsigned bits[4], primes;
    uint64_t t;
} sets[] = {
    {1024, {27}, 1, 64},
    {4096, {46, 46}, 2, UINT64_C(1) << 26},
    {4096, {36, 36, 36}, 3, 65537},
    {2048, {27, 27}, 2, 12289},
};
enum { SETS = sizeof sets / sizeof *sets, N_MAX = 4096 };

typedef struct keys {
    sotto_bfv_params *p;
    sotto_bfv_secret_key sk;
    sotto_bfv_public_key pk;
    uint64_t m[N_MAX], got[N_MAX];
} keys;

static keys keys_new(size_t set)
{
    static keys k;
    const sotto_rng rng = ct_rng();
    memset(&k, 0, sizeof k);
    require(sotto_bfv_params_from_bits(&k.p, sets[set].n, sets[set].bits, sets[set].primes, sets[set].t) == SOTTO_OK);
    require(sotto_bfv_secret_key_new(&k.sk, k.p, &rng) == SOTTO_OK);
    require(sotto_bfv_public_key_new(&k.pk, k.p, &k.sk, &rng) == SOTTO_OK);
    /* Handed to everyone. */
    SOTTO_DECLASSIFY(k.pk.b, k.sk.words * sizeof *k.pk.b);
    for (size_t i = 0; i < sets[set].n; i++) {
        k.m[i] = public_word() % sets[set].t;
    }
    SOTTO_SECRET(k.m, sizeof k.m);
    return k;
}

static void keys_free(keys *k)
{
    sotto_bfv_secret_key_free(&k->sk);
    sotto_bfv_public_key_free(&k->pk);
    sotto_bfv_params_free(k->p);
}

static void open_and_compare(keys *k, const sotto_bfv_ct *ct, const uint64_t *want)
{
    const size_t n = sotto_bfv_n(k->p);
    require(sotto_bfv_decrypt(k->got, k->p, &k->sk, ct) == SOTTO_OK);
    uint64_t *expected = malloc(n * sizeof *expected);
    require(expected != NULL);
    memcpy(expected, want, n * sizeof *expected);
    /* To compare with what is right, at the end of the case. */
    SOTTO_DECLASSIFY(k->got, sizeof k->got);
    SOTTO_DECLASSIFY(expected, n * sizeof *expected);
    require(memcmp(k->got, expected, n * sizeof *expected) == 0);
    free(expected);
}

static void case_samplers(void)
{
    static int64_t x[N_MAX];
    const sotto_rng rng = ct_rng();
    for (unsigned kind = 0; kind < 2; kind++) {
        const int64_t bound = kind ? SOTTO_ERROR_BOUND : 1;
        int64_t largest = 0;
        require((kind ? sotto_sample_error(x, N_MAX, &rng) : sotto_sample_ternary(x, N_MAX, &rng)) == SOTTO_OK);
        SOTTO_DECLASSIFY(x, sizeof x); /* to compare */
        for (size_t i = 0; i < N_MAX; i++) {
            require(x[i] >= -bound && x[i] <= bound);
            largest = x[i] > largest ? x[i] : largest;
        }
        require(largest >= (kind ? 8 : 1));
    }
}

/* Every function of a polynomial and every rounding, on secret residues. */
static void case_ring(void)
{
    const sotto_rng rng = ct_rng();
    for (size_t set = 0; set < SETS; set++) {
        keys k = keys_new(set);
        const sotto_rns *rns = sotto_bfv_rns(k.p);
        const size_t n = sets[set].n, words = sotto_poly_words(rns), limbs = sotto_rns_count(rns);
        uint64_t *x = sotto_poly_new(rns), *y = sotto_poly_new(rns), out[N_MAX];
        int64_t small[N_MAX];
        require(x != NULL && y != NULL);
        require(sotto_sample_error(small, (uint32_t)n, &rng) == SOTTO_OK);
        sotto_poly_from_signed(rns, x, small);
        sotto_rns_scale_up(rns, y, n, k.m, n, sets[set].t);
        sotto_poly_add(rns, y, y, x);
        sotto_poly_forward(rns, y);
        sotto_poly_forward(rns, x);
        sotto_poly_mul_ntt(rns, x, x, y);
        sotto_poly_mac_ntt(rns, x, y, y);
        sotto_poly_sub(rns, x, x, y);
        sotto_poly_neg(rns, x, x);
        sotto_poly_inverse(rns, x);
        const uint64_t *row[2] = {y, y};
        sotto_ntt_dot_pair(sotto_rns_ntt(rns, 0), out, x, row, row, row, 2);
        sotto_poly_inverse(rns, y); /* Q m / t + small */
        sotto_rns_scale_round_pow2(rns, out, y, n, n, 20);
        if (limbs > 1) {
            sotto_rns_drop_last(rns, x, y, n, n);
        }
        sotto_rns_scale_round(rns, out, y, n, n, sets[set].t);
        SOTTO_DECLASSIFY(out, sizeof out); /* to compare */
        SOTTO_DECLASSIFY(k.m, sizeof k.m);
        require(memcmp(out, k.m, n * sizeof *out) == 0);
        sotto_free_secret(x, words, sizeof *x);
        sotto_free_secret(y, words, sizeof *y);
        keys_free(&k);
    }
}

/* Key generation and the storage of a secret key. */
static void case_keys(void)
{
    for (size_t set = 0; set < SETS; set++) {
        keys k = keys_new(set);
        sotto_bfv_secret_key again = {0}, other = {0};
        const size_t bytes = sotto_bfv_secret_key_bytes(k.p);
        uint8_t *stored = malloc(bytes);
        sotto_writer w;
        sotto_reader r;
        require(stored != NULL);
        sotto_writer_init(&w, stored, bytes);
        sotto_bfv_secret_key_write(&w, k.p, &k.sk);
        sotto_reader_init(&r, stored, bytes);
        require(sotto_bfv_secret_key_read(&again, k.p, &r) == SOTTO_OK);
        require(sotto_bfv_secret_key_for(&other, k.p, &again) == SOTTO_OK);
        SOTTO_DECLASSIFY(k.sk.s_ntt, k.sk.words * sizeof *k.sk.s_ntt); /* to compare */
        SOTTO_DECLASSIFY(other.s_ntt, k.sk.words * sizeof *k.sk.s_ntt);
        require(memcmp(k.sk.s_ntt, other.s_ntt, k.sk.words * sizeof *k.sk.s_ntt) == 0);
        sotto_bfv_secret_key_free(&again);
        sotto_bfv_secret_key_free(&other);
        free(stored);
        keys_free(&k);
    }
}

static void case_encrypt(void)
{
    const sotto_rng rng = ct_rng();
    for (size_t set = 0; set < SETS; set++) {
        keys k = keys_new(set);
        sotto_bfv_ct ct, got;
        sotto_block seed;
        const size_t bytes = sotto_bfv_seeded_bytes(k.p);
        uint8_t *sent = malloc(bytes);
        sotto_writer w;
        sotto_reader r;
        require(sent != NULL && sotto_bfv_ct_new(&ct, k.p) == SOTTO_OK);
        require(sotto_bfv_encrypt_public(&ct, k.p, &k.pk, k.m, &rng) == SOTTO_OK);
        open_and_compare(&k, &ct, k.m);
        require(sotto_bfv_encrypt_symmetric(&ct, &seed, k.p, &k.sk, k.m, &rng) == SOTTO_OK);
        sotto_writer_init(&w, sent, bytes);
        sotto_bfv_seeded_write(&w, k.p, &ct, seed);
        SOTTO_DECLASSIFY(sent, bytes); /* goes to the server; the reader looks at every residue */
        sotto_reader_init(&r, sent, bytes);
        require(sotto_bfv_seeded_read(&got, k.p, &r) == SOTTO_OK);
        open_and_compare(&k, &got, k.m);
        sotto_bfv_to_coeff(&got, k.p);
        open_and_compare(&k, &got, k.m);
        sotto_bfv_ct_free(&got);
        sotto_bfv_ct_free(&ct);
        free(sent);
        keys_free(&k);
    }
}

/* Products by secret weights, sums, the modulus switch; signed encoding. */
static void case_evaluate(void)
{
    static int64_t weights[N_MAX], values[N_MAX];
    const sotto_rng rng = ct_rng();
    for (size_t set = 0; set < SETS; set++) {
        keys k = keys_new(set);
        const uint32_t n = sets[set].n;
        sotto_bfv_plain w;
        sotto_bfv_ct x, acc;
        memset(weights, 0, sizeof weights);
        weights[0] = -1; /* the product is the message negated, to be known without computing it */
        SOTTO_SECRET(weights, sizeof weights);
        require(sotto_bfv_plain_new(&w, k.p, weights) == SOTTO_OK);
        require(sotto_bfv_ct_new(&x, k.p) == SOTTO_OK && sotto_bfv_ct_new(&acc, k.p) == SOTTO_OK);
        require(sotto_bfv_encrypt_public(&x, k.p, &k.pk, k.m, &rng) == SOTTO_OK);
        acc.ntt = 1;
        require(sotto_bfv_mac_plain(&acc, k.p, &x, &w) == SOTTO_OK);  /* -m */
        require(sotto_bfv_mul_plain(&acc, k.p, &w) == SOTTO_OK);      /* m */
        require(sotto_bfv_sub(&acc, k.p, &x) == SOTTO_OK);            /* 0 */
        require(sotto_bfv_add_plain(&acc, k.p, k.m) == SOTTO_OK);     /* m */
        sotto_bfv_neg(&acc, k.p);
        sotto_bfv_to_coeff(&acc, k.p);
        require(sotto_bfv_sub_plain(&acc, k.p, k.m) == SOTTO_OK);     /* -2m */
        sotto_bfv_to_coeff(&x, k.p);
        for (int i = 0; i < 3; i++) {
            require(sotto_bfv_add(&acc, k.p, &x) == SOTTO_OK);        /* m */
        }
        open_and_compare(&k, &acc, k.m);
        sotto_bfv_decode(values, k.p, k.m, n);
        require(sotto_bfv_encode(k.m, k.p, values, n) == SOTTO_OK);
        open_and_compare(&k, &acc, k.m);
        if (sets[set].primes > 1 && (sets[set].primes > 2 || sets[set].t < 65536)) {
            sotto_bfv_params *smaller;
            sotto_bfv_secret_key sk;
            sotto_bfv_ct out;
            uint64_t primes[4];
            for (size_t i = 0; i + 1 < sets[set].primes; i++) {
                primes[i] = sotto_rns_modulus(sotto_bfv_rns(k.p), i)->q;
            }
            require(sotto_bfv_params_new(&smaller, n, primes, sets[set].primes - 1, sets[set].t) == SOTTO_OK);
            require(sotto_bfv_secret_key_for(&sk, smaller, &k.sk) == SOTTO_OK);
            require(sotto_bfv_ct_new(&out, smaller) == SOTTO_OK);
            require(sotto_bfv_mod_switch(&out, smaller, &acc, k.p) == SOTTO_OK);
            require(sotto_bfv_decrypt(k.got, smaller, &sk, &out) == SOTTO_OK);
            SOTTO_DECLASSIFY(k.got, sizeof k.got); /* to compare */
            SOTTO_DECLASSIFY(k.m, sizeof k.m);
            require(memcmp(k.got, k.m, n * sizeof *k.got) == 0);
            sotto_bfv_ct_free(&out);
            sotto_bfv_secret_key_free(&sk);
            sotto_bfv_params_free(smaller);
        }
        sotto_bfv_plain_free(&w, k.p);
        sotto_bfv_ct_free(&acc);
        sotto_bfv_ct_free(&x);
        keys_free(&k);
    }
}

/* Batching, products of ciphertexts, relinearisation, rotations: secret keys to make the public ones, secret slots and multiplicands. */
static void case_multiply(void)
{
    enum { N = 4096, T = 65537 };
    static const unsigned bits[] = {36, 36};
    static int64_t slots[N], factor[N], got[N];
    static uint64_t m[N];
    const sotto_rng rng = ct_rng();
    sotto_bfv_params *p;
    sotto_bfv_batch *batch;
    sotto_bfv_secret_key sk;
    sotto_bfv_switch_key relin;
    sotto_bfv_galois_keys galois;
    sotto_bfv_plain plain;
    sotto_bfv_addend addend;
    sotto_bfv_ct x, y;
    sotto_block seed;
    require(sotto_bfv_params_from_bits_special(&p, N, bits, 2, 37, T) == SOTTO_OK);
    require(sotto_bfv_batch_new(&batch, p) == SOTTO_OK);
    const uint32_t element[] = {sotto_bfv_galois_row(p, 1), sotto_bfv_galois_swap(p)};
    require(sotto_bfv_secret_key_new(&sk, p, &rng) == SOTTO_OK);
    require(sotto_bfv_relin_key_new(&relin, p, &sk, &rng) == SOTTO_OK);
    require(sotto_bfv_galois_keys_new(&galois, p, &sk, element, 2, &rng) == SOTTO_OK);
    /* Handed to the server. */
    SOTTO_DECLASSIFY(relin.b, relin.words * sizeof *relin.b);
    for (size_t i = 0; i < galois.count; i++) {
        SOTTO_DECLASSIFY(galois.key[i].b, galois.key[i].words * sizeof *galois.key[i].b);
    }
    for (size_t i = 0; i < N; i++) {
        slots[i] = (int64_t)(public_word() % 100) - 50;
        factor[i] = (int64_t)(public_word() % 7) - 3;
    }
    SOTTO_SECRET(slots, sizeof slots);
    SOTTO_SECRET(factor, sizeof factor);
    require(sotto_bfv_ct_new(&x, p) == SOTTO_OK && sotto_bfv_ct_new(&y, p) == SOTTO_OK);
    require(sotto_bfv_batch_encode(m, batch, slots, N) == SOTTO_OK);
    require(sotto_bfv_encrypt_symmetric(&x, &seed, p, &sk, m, &rng) == SOTTO_OK);
    require(sotto_bfv_encrypt_symmetric(&y, &seed, p, &sk, m, &rng) == SOTTO_OK);
    require(sotto_bfv_addend_new(&addend, p, m) == SOTTO_OK);
    sotto_bfv_add_addend(&y, p, &addend);
    sotto_bfv_sub_addend(&y, p, &addend);
    require(sotto_bfv_batch_encode(m, batch, factor, N) == SOTTO_OK);
    require(sotto_bfv_plain_from(&plain, p, m) == SOTTO_OK);
    require(sotto_bfv_mul_plain(&y, p, &plain) == SOTTO_OK);
    require(sotto_bfv_mul(&x, p, &y, &relin) == SOTTO_OK);   /* slot^2 factor */
    require(sotto_bfv_rotate_rows(&x, p, 1, &galois) == SOTTO_OK);
    require(sotto_bfv_swap_rows(&x, p, &galois) == SOTTO_OK);
    require(sotto_bfv_decrypt(m, p, &sk, &x) == SOTTO_OK);
    require(sotto_bfv_batch_decode(got, batch, m, N) == SOTTO_OK);
    require(sotto_bfv_square(&y, p, &relin) == SOTTO_OK);
    require(sotto_bfv_mul_message(&y, p, m) == SOTTO_OK);
    SOTTO_DECLASSIFY(got, sizeof got); /* to compare */
    SOTTO_DECLASSIFY(slots, sizeof slots);
    SOTTO_DECLASSIFY(factor, sizeof factor);
    for (size_t i = 0; i < N; i++) {
        const size_t from = (i + N / 2) % N / (N / 2) * (N / 2) + (i + 1) % (N / 2);
        require(got[i] == slots[from] * slots[from] * factor[from]);
    }
    sotto_bfv_ct_free(&x);
    sotto_bfv_ct_free(&y);
    sotto_bfv_addend_free(&addend, p);
    sotto_bfv_plain_free(&plain, p);
    sotto_bfv_switch_key_free(&relin);
    sotto_bfv_galois_keys_free(&galois);
    sotto_bfv_secret_key_free(&sk);
    sotto_bfv_batch_free(batch);
    sotto_bfv_params_free(p);
}

/* Re-randomise, mask, flood, switch; the owner's side. */
static void case_answer(void)
{
    enum { WANTED = 65 };
    const sotto_rng rng = ct_rng();
    keys k = keys_new(1);
    const uint64_t t = sets[1].t;
    sotto_bfv_answer_plan plan;
    sotto_bfv_ct x;
    sotto_writer w;
    sotto_reader r;
    uint32_t index[WANTED];
    uint64_t mask[WANTED], got[WANTED];
    require(sotto_bfv_answer_plan_new(&plan, k.p, 1, 1, WANTED) == SOTTO_OK);
    const size_t bytes = sotto_bfv_answer_bytes(k.p, WANTED);
    uint8_t *sent = malloc(bytes);
    require(sent != NULL && sotto_bfv_ct_new(&x, k.p) == SOTTO_OK);
    require(sotto_bfv_encrypt_public(&x, k.p, &k.pk, k.m, &rng) == SOTTO_OK);
    for (uint32_t i = 0; i < WANTED; i++) {
        index[i] = (61 * i + 5) % 4096;
        mask[i] = public_word() % t;
    }
    SOTTO_SECRET(mask, sizeof mask);
    sotto_writer_init(&w, sent, bytes);
    require(sotto_bfv_answer_write(&w, k.p, &k.pk, &plan, &x, index, mask, WANTED, &rng) == SOTTO_OK);
    SOTTO_DECLASSIFY(sent, bytes); /* goes to the client */
    sotto_reader_init(&r, sent, bytes);
    require(sotto_bfv_answer_read(got, k.p, &k.sk, &r, index, WANTED) == SOTTO_OK);
    SOTTO_DECLASSIFY(got, sizeof got); /* to compare */
    SOTTO_DECLASSIFY(mask, sizeof mask);
    SOTTO_DECLASSIFY(k.m, sizeof k.m);
    for (size_t i = 0; i < WANTED; i++) {
        require(got[i] == (k.m[index[i]] + t - mask[i]) % t);
    }
    sotto_bfv_ct_free(&x);
    free(sent);
    keys_free(&k);
}

/* ---- symmetric primitives, oblivious transfer, garbling ------------------------------------------------------------------ */

static void case_aes(void)
{
    static sotto_block x[64], y[64], key[8];
    static uint8_t stream[999], again[999];
    const sotto_rng rng = ct_rng();
    const sotto_hash hash = {.domain = SOTTO_DOMAIN_TEST};
    sotto_aes_key schedule;
    sotto_prg prg;
    require(sotto_rng_fill(&rng, x, sizeof x) == SOTTO_OK && sotto_rng_fill(&rng, key, sizeof key) == SOTTO_OK);
    sotto_aes_expand(&schedule, key[0]);
    sotto_aes_encrypt(&schedule, y, x, 64);
    sotto_aes_encrypt_rekeyed(x, y, 64, key, 8);
    sotto_hash_blocks(&hash, 1, 2, 3, y, x, 16, 4);
    for (int i = 0; i < 2; i++) {
        sotto_prg_init(&prg, key[1]);
        sotto_prg_fill(&prg, i ? again : stream, 37);
        sotto_prg_fill(&prg, (i ? again : stream) + 37, sizeof stream - 37);
        sotto_prg_wipe(&prg);
    }
    const int equal = sotto_ct_equal(stream, again, sizeof stream);
    int verdict = equal;
    SOTTO_DECLASSIFY(&verdict, sizeof verdict); /* to compare */
    require(verdict);
}

/* Gates of all kinds, whole batches and parts of them, both schemes. */
static void case_garble(void)
{
    enum { INSTANCES = 67, INPUTS = 4 };
    static sotto_block zero[INPUTS * INSTANCES], in[INPUTS * INSTANCES], out_zero[INSTANCES], out[INSTANCES];
    static uint8_t tables[(2 * 32 + 16) * INSTANCES];
    const sotto_rng rng = ct_rng();
    sotto_circuit c;
    sotto_circuit_init(&c, 2, 2);
    const uint32_t x = sotto_gate_and(&c, 0, 2), y = sotto_gate_and_eval(&c, sotto_gate_not(&c, 1), 3);
    sotto_circuit_output(&c, sotto_gate_not(&c, sotto_gate_and(&c, sotto_gate_xor(&c, x, y), sotto_gate_not(&c, x))));
    for (int scheme = 0; scheme < SOTTO_GARBLE_SCHEMES; scheme++) {
        sotto_garbling *g;
        sotto_block offset;
        uint8_t bit[INPUTS], want;
        require(sotto_garbling_new(&g, &c, (sotto_garble_scheme)scheme) == SOTTO_OK);
        const sotto_garble_job job = {g, {.domain = SOTTO_DOMAIN_GARBLE}, 9, INSTANCES};
        require(sotto_rng_fill(&rng, zero, sizeof zero) == SOTTO_OK && sotto_rng_fill(&rng, &offset, sizeof offset) == SOTTO_OK);
        require(sotto_rng_fill(&rng, bit, sizeof bit) == SOTTO_OK);
        offset.w[0] |= 1;
        for (size_t i = 0; i < INPUTS * INSTANCES; i++) {
            zero[i] = sotto_label_known(zero[i], 0);
            in[i] = sotto_block_xor(zero[i], sotto_block_and(offset, sotto_ct_mask(bit[i / INSTANCES] & 1u)));
        }
        require(sotto_garble_bytes(&job) <= sizeof tables);
        require(sotto_garble_tables(&job, offset, zero, tables, out_zero) == SOTTO_OK);
        SOTTO_DECLASSIFY(tables, sizeof tables); /* sent */
        require(sotto_garble_evaluate(&job, in, tables, out) == SOTTO_OK);
        SOTTO_DECLASSIFY(bit, sizeof bit); /* to compare */
        SOTTO_DECLASSIFY(out, sizeof out);
        SOTTO_DECLASSIFY(out_zero, sizeof out_zero);
        for (size_t i = 0; i < INPUTS; i++) {
            bit[i] &= 1;
        }
        require(sotto_circuit_run(&c, &want, bit) == SOTTO_OK);
        for (size_t i = 0; i < INSTANCES; i++) {
            require((sotto_permute_bit(out[i]) ^ sotto_permute_bit(out_zero[i])) == want);
        }
        sotto_garbling_free(g);
    }
    sotto_circuit_free(&c);
}

/* ---- the table ------------------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    void (*run)(void);
    int control; /* must be reported */
} cases[] = {
    {"control-branch", control_branch, 1},
    {"control-index", control_index, 1},
    {"control-library", control_library, 1},
    {"samplers", case_samplers, 0},
    {"ring", case_ring, 0},
    {"keys", case_keys, 0},
    {"encrypt", case_encrypt, 0},
    {"evaluate", case_evaluate, 0},
    {"multiply", case_multiply, 0},
    {"answer", case_answer, 0},
    {"aes", case_aes, 0},
    {"garble", case_garble, 0},
    {"ot", case_ot, 0},
    {"units", case_units, 0},
    {"polynomials", case_polynomials, 0},
    {"label", case_label, 0},
    {"session", case_session, 0},
};

int main(int argc, char **argv)
{
    int failed = 0, first = 1;
    if (!RUNNING_ON_VALGRIND) {
        (void)fprintf(stderr, "run this under Valgrind: make check-ct\n");
        return 2;
    }
    if (argc > 2 && strcmp(argv[1], "--tier") == 0) {
        const int tier = sotto_tier_parse(argv[2]);
        require(tier >= 0);
        sotto_cpu_force_tier((sotto_tier)tier);
        if (sotto_cpu_tier() != (sotto_tier)tier) {
            (void)printf("tier %s is not to be had here\n", argv[2]);
            return 2;
        }
        first = 3;
    }
    sotto_prg_init(&coins, (sotto_block){{0x6374, 1}});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int chosen = argc <= first;
        for (int a = first; a < argc; a++) {
            chosen |= strcmp(argv[a], cases[i].name) == 0;
        }
        if (!chosen) {
            continue;
        }
        const unsigned before = VALGRIND_COUNT_ERRORS;
        VALGRIND_PRINTF("---- %s\n", cases[i].name);
        cases[i].run();
        const unsigned errors = VALGRIND_COUNT_ERRORS - before;
        const int good = cases[i].control ? errors > 0 : errors == 0;
        failed |= !good;
        (void)printf("    %-16s %s", cases[i].name, good ? "ok" : "FAILED");
        (void)printf(cases[i].control ? ": %u reports, as there must be\n" : errors ? ": %u reports\n" : "\n", errors);
        (void)fflush(stdout);
    }
    return failed;
}
