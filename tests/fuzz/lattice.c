/* Decoders of lattice objects, and the reader under all of them. */
#include <stdlib.h>
#include <string.h>

#include "bfv/answer.h"
#include "bfv/galois.h"
#include "bfv/multiply.h"
#include "bfv/wire.h"
#include "lib/mem.h"
#include "lib/prg.h"
#include "ring/poly.h"
#include "tests/fuzz/targets.h"

/* ---- the reader ---------------------------------------------------------------------------------------------------- */

/* A program over the rest of the input: each byte chooses a read; every value is written again and must give the same bytes. */
static int run_bytes(const uint8_t *data, size_t len)
{
    enum { OPS_MAX = 64, WORDS_MAX = 512 };
    static uint64_t words[WORDS_MAX];
    if (len == 0 || data[0] > OPS_MAX || len < 1u + data[0]) {
        return 0;
    }
    const size_t ops = data[0];
    const uint8_t *op = data + 1, *body = op + ops;
    const size_t size = len - 1 - ops;
    uint8_t *again = sotto_calloc(size + 1, 1);
    sotto_reader r;
    sotto_writer w;
    require(again != NULL);
    sotto_reader_init(&r, body, size);
    sotto_writer_init(&w, again, size);
    for (size_t i = 0; i < ops; i++) {
        const unsigned argument = op[i] >> 3;
        switch (op[i] & 7) {
        case 0:
            sotto_write_u8(&w, sotto_read_u8(&r));
            break;
        case 1:
            sotto_write_u16(&w, sotto_read_u16(&r));
            break;
        case 2:
            sotto_write_u32(&w, sotto_read_u32(&r));
            break;
        case 3:
            sotto_write_u64(&w, sotto_read_u64(&r));
            break;
        case 4: {
            const uint8_t *span = sotto_read_span(&r, argument);
            require((span == NULL) == (r.status != SOTTO_OK));
            if (span != NULL) {
                sotto_write_bytes(&w, span, argument);
            }
            break;
        }
        default: { /* 5 to 7: up to 96 widths and counts */
            const unsigned width = 1 + (argument + 32 * ((op[i] & 7u) - 5)) % 64;
            const size_t count = argument * argument % WORDS_MAX;
            sotto_read_packed(&r, words, count, width);
            for (size_t j = 0; j < count; j++) {
                require(r.status == SOTTO_OK || words[j] == 0);
                require(width == 64 || words[j] >> width == 0);
            }
            sotto_write_packed(&w, words, r.status == SOTTO_OK ? count : 0, width);
            break;
        }
        }
        if (r.status != SOTTO_OK) {
            break;
        }
        require(w.status == SOTTO_OK && w.pos == r.pos);
        require(memcmp(again, body, r.pos) == 0);
    }
    const int accepted = r.status == SOTTO_OK;
    require(!accepted || (sotto_reader_finish(&r, "fuzz") == SOTTO_OK) == (r.pos == size));
    sotto_free(again);
    return accepted;
}

static size_t seed_bytes(unsigned i, uint8_t *out)
{
    static const uint8_t ops[] = {0, 1, 2, 3, 4 + 8 * 5, 5 + 8 * 3, 6 + 8 * 7, 7 + 8 * 9};
    if (i >= sizeof ops) {
        return 0;
    }
    out[0] = (uint8_t)(i + 1);
    memcpy(out + 1, ops, i + 1);
    memset(out + 2 + i, 0, 600);
    return 602 + i;
}

const fuzz_target fuzz_bytes = {"bytes", NULL, run_bytes, seed_bytes, 0};

/* ---- keys and ciphertexts ------------------------------------------------------------------------------------------ */

/* Short primes keep inputs small and leave room for residues that are not below them: 12289 of 16384, 40961 of 65536. */
enum { SETS = 2 };
static sotto_bfv_params *params[SETS];
static sotto_bfv_secret_key secret[SETS];
static sotto_prg coins;
static sotto_rng rng;

static void start_keys(void)
{
    static const uint64_t primes[] = {12289, 40961};
    sotto_prg_init(&coins, (sotto_block){{0x66757a7a, 0}});
    rng = sotto_prg_rng(&coins);
    for (size_t i = 0; i < SETS; i++) {
        if (params[i] == NULL) {
            require(sotto_bfv_params_new(&params[i], 1024u << i, primes, i + 1, i == 0 ? 2 : 4) == SOTTO_OK);
            require(sotto_bfv_secret_key_new(&secret[i], params[i], &rng) == SOTTO_OK);
        }
    }
}

typedef union object {
    sotto_bfv_public_key pk;
    sotto_bfv_secret_key sk;
    sotto_bfv_ct ct;
    sotto_bfv_switch_key key;
    sotto_bfv_galois_keys galois;
} object;

typedef struct codec {
    sotto_bfv_params **sets;
    size_t (*bytes)(const sotto_bfv_params *p, const object *o);
    int (*read)(object *o, const sotto_bfv_params *p, sotto_reader *r);
    /* `seed` is what stands in the place of a seed in the bytes that were read. */
    void (*write)(sotto_writer *w, const sotto_bfv_params *p, const object *o, sotto_block seed);
    void (*free)(object *o);
    void (*check)(const sotto_bfv_params *p, const object *o); /* what holds of anything that was accepted */
} codec;

static void require_canonical(const sotto_bfv_params *p, const uint64_t *x)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    const size_t n = sotto_bfv_n(p);
    for (size_t i = 0; i < sotto_poly_words(rns); i++) {
        require(x[i] < sotto_rns_modulus(rns, i / n)->q);
    }
}

/* Accepted: exactly the announced bytes were read, all residues are canonical, and writing gives the same bytes. Refused: nothing is left. */
static int run_codec(const codec *c, const uint8_t *data, size_t len)
{
    int accepted = 0;
    for (size_t set = 0; set < SETS; set++) {
        const sotto_bfv_params *p = c->sets[set];
        sotto_reader r;
        object o;
        memset(&o, 0xa5, sizeof o);
        sotto_reader_init(&r, data, len);
        if (c->read(&o, p, &r) != SOTTO_OK) {
            static const object zero;
            require(r.status != SOTTO_OK);
            require(memcmp(&o, &zero, sizeof(void *)) == 0);
            continue;
        }
        const size_t bytes = c->bytes(p, &o);
        accepted = 1;
        require(r.status == SOTTO_OK && r.pos == bytes && bytes <= len);
        c->check(p, &o);
        uint8_t *again = sotto_calloc(bytes, 1);
        sotto_writer w;
        sotto_block seed = {{0, 0}};
        require(again != NULL);
        memcpy(&seed, data + 8, len - 8 < sizeof seed ? len - 8 : sizeof seed); /* a set of no keys is shorter */
        sotto_writer_init(&w, again, bytes);
        c->write(&w, p, &o, seed);
        require(w.status == SOTTO_OK && w.pos == bytes);
        require(memcmp(again, data, bytes) == 0);
        sotto_free(again);
        c->free(&o);
    }
    return accepted;
}

static size_t write_seed(const codec *c, const sotto_bfv_params *p, const object *o, sotto_block seed, uint8_t *out)
{
    sotto_writer w;
    sotto_writer_init(&w, out, FUZZ_SEED_MAX);
    c->write(&w, p, o, seed);
    require(w.status == SOTTO_OK && w.pos == c->bytes(p, o));
    return w.pos;
}

static int pk_read(object *o, const sotto_bfv_params *p, sotto_reader *r)
{
    return sotto_bfv_public_key_read(&o->pk, p, r);
}

static void pk_write(sotto_writer *w, const sotto_bfv_params *p, const object *o, sotto_block seed)
{
    (void)seed;
    sotto_bfv_public_key_write(w, p, &o->pk);
}

static void pk_free(object *o)
{
    sotto_bfv_public_key_free(&o->pk);
}

static void pk_check(const sotto_bfv_params *p, const object *o)
{
    require_canonical(p, o->pk.b);
    require_canonical(p, o->pk.a);
}

static size_t pk_bytes(const sotto_bfv_params *p, const object *o)
{
    (void)o;
    return sotto_bfv_public_key_bytes(p);
}

static const codec pk_codec = {params, pk_bytes, pk_read, pk_write, pk_free, pk_check};

static int run_public_key(const uint8_t *data, size_t len)
{
    return run_codec(&pk_codec, data, len);
}

static size_t seed_public_key(unsigned i, uint8_t *out)
{
    object o;
    if (i >= SETS) {
        return 0;
    }
    require(sotto_bfv_public_key_new(&o.pk, params[i], &secret[i], &rng) == SOTTO_OK);
    const size_t len = write_seed(&pk_codec, params[i], &o, o.pk.seed, out);
    pk_free(&o);
    return len;
}

const fuzz_target fuzz_public_key = {"public_key", start_keys, run_public_key, seed_public_key, 1};

static void ct_free(object *o)
{
    sotto_bfv_ct_free(&o->ct);
}

static void ct_check(const sotto_bfv_params *p, const object *o)
{
    require_canonical(p, o->ct.c0);
    require_canonical(p, o->ct.c1);
}

static int seeded_read(object *o, const sotto_bfv_params *p, sotto_reader *r)
{
    return sotto_bfv_seeded_read(&o->ct, p, r);
}

static void seeded_write(sotto_writer *w, const sotto_bfv_params *p, const object *o, sotto_block seed)
{
    sotto_bfv_ct ct = o->ct;
    ct.ntt = 1; /* what a seed stands for is in NTT form; a reader need not say so */
    sotto_bfv_seeded_write(w, p, &ct, seed);
}

static size_t seeded_bytes(const sotto_bfv_params *p, const object *o)
{
    (void)o;
    return sotto_bfv_seeded_bytes(p);
}

static const codec seeded_codec = {params, seeded_bytes, seeded_read, seeded_write, ct_free, ct_check};

static int run_seeded(const uint8_t *data, size_t len)
{
    return run_codec(&seeded_codec, data, len);
}

/* Ciphertexts of a message with every coefficient at most 1. */
static sotto_block encrypt(object *o, size_t set)
{
    static uint64_t m[2048];
    sotto_block seed;
    for (size_t i = 0; i < sizeof m / sizeof *m; i++) {
        m[i] = i % 3 == 0;
    }
    require(sotto_bfv_ct_new(&o->ct, params[set]) == SOTTO_OK);
    require(sotto_bfv_encrypt_symmetric(&o->ct, &seed, params[set], &secret[set], m, &rng) == SOTTO_OK);
    return seed;
}

static size_t seed_seeded(unsigned i, uint8_t *out)
{
    object o;
    if (i >= SETS) {
        return 0;
    }
    const sotto_block seed = encrypt(&o, i);
    const size_t len = write_seed(&seeded_codec, params[i], &o, seed, out);
    ct_free(&o);
    return len;
}

const fuzz_target fuzz_seeded = {"seeded", start_keys, run_seeded, seed_seeded, 1};

static int ct_read(object *o, const sotto_bfv_params *p, sotto_reader *r)
{
    return sotto_bfv_ct_read(&o->ct, p, r);
}

static void ct_write(sotto_writer *w, const sotto_bfv_params *p, const object *o, sotto_block seed)
{
    (void)seed;
    sotto_bfv_ct_write(w, p, &o->ct);
}

static size_t ct_bytes(const sotto_bfv_params *p, const object *o)
{
    (void)o;
    return sotto_bfv_ct_bytes(p);
}

static const codec ct_codec = {params, ct_bytes, ct_read, ct_write, ct_free, ct_check};

static int run_ciphertext(const uint8_t *data, size_t len)
{
    return run_codec(&ct_codec, data, len);
}

static size_t seed_ciphertext(unsigned i, uint8_t *out)
{
    object o;
    if (i >= 2 * SETS) {
        return 0;
    }
    const sotto_block seed = encrypt(&o, i / 2);
    if (i % 2 == 1) {
        sotto_bfv_to_coeff(&o.ct, params[i / 2]);
    }
    const size_t len = write_seed(&ct_codec, params[i / 2], &o, seed, out);
    ct_free(&o);
    return len;
}

const fuzz_target fuzz_ciphertext = {"ciphertext", start_keys, run_ciphertext, seed_ciphertext, 1};

static int sk_read(object *o, const sotto_bfv_params *p, sotto_reader *r)
{
    return sotto_bfv_secret_key_read(&o->sk, p, r);
}

static void sk_write(sotto_writer *w, const sotto_bfv_params *p, const object *o, sotto_block seed)
{
    (void)seed;
    sotto_bfv_secret_key_write(w, p, &o->sk);
}

static void sk_free(object *o)
{
    sotto_bfv_secret_key_free(&o->sk);
}

static void sk_check(const sotto_bfv_params *p, const object *o)
{
    require_canonical(p, o->sk.s_ntt);
    for (uint32_t i = 0; i < sotto_bfv_n(p); i++) {
        require(o->sk.s[i] >= -1 && o->sk.s[i] <= 1);
    }
}

static size_t sk_bytes(const sotto_bfv_params *p, const object *o)
{
    (void)o;
    return sotto_bfv_secret_key_bytes(p);
}

static const codec sk_codec = {params, sk_bytes, sk_read, sk_write, sk_free, sk_check};

static int run_secret_key(const uint8_t *data, size_t len)
{
    return run_codec(&sk_codec, data, len);
}

static size_t seed_secret_key(unsigned i, uint8_t *out)
{
    if (i >= SETS) {
        return 0;
    }
    const object o = {.sk = secret[i]};
    return write_seed(&sk_codec, params[i], &o, (sotto_block){{0, 0}}, out);
}

const fuzz_target fuzz_secret_key = {"secret_key", start_keys, run_secret_key, seed_secret_key, 1};

/* ---- keys for key switching ---------------------------------------------------------------------------------------- */

enum { ELEMENTS_MAX = 3 };
static sotto_bfv_params *special_params[SETS];
static sotto_bfv_secret_key special_secret[SETS];

static void start_switch(void)
{
    static const uint64_t primes[] = {12289, 40961, 61441};
    start_keys();
    for (size_t i = 0; i < SETS; i++) {
        if (special_params[i] == NULL) {
            require(sotto_bfv_params_new_special(&special_params[i], 2048, primes, i + 1, primes[i + 1], 2) == SOTTO_OK);
            require(sotto_bfv_secret_key_new(&special_secret[i], special_params[i], &rng) == SOTTO_OK);
        }
    }
}

static void check_switch(const sotto_bfv_params *p, const sotto_bfv_switch_key *key)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    const size_t n = sotto_bfv_n(p), k = sotto_rns_count(rns);
    require(key->words == k * (k + 1) * n);
    for (size_t i = 0; i < key->words; i++) {
        const size_t limb = i / n % (k + 1);
        const uint64_t q = sotto_rns_modulus(limb < k ? rns : sotto_bfv_special(p), limb < k ? limb : 0)->q;
        require(key->b[i] < q && key->a[i] < q);
    }
}

static void key_check(const sotto_bfv_params *p, const object *o)
{
    check_switch(p, &o->key);
}

static int key_read(object *o, const sotto_bfv_params *p, sotto_reader *r)
{
    return sotto_bfv_switch_key_read(&o->key, p, r);
}

static void key_write(sotto_writer *w, const sotto_bfv_params *p, const object *o, sotto_block seed)
{
    (void)seed;
    sotto_bfv_switch_key_write(w, p, &o->key);
}

static void key_free(object *o)
{
    sotto_bfv_switch_key_free(&o->key);
}

static size_t key_bytes(const sotto_bfv_params *p, const object *o)
{
    (void)o;
    return sotto_bfv_switch_key_bytes(p);
}

static const codec key_codec = {special_params, key_bytes, key_read, key_write, key_free, key_check};

static int run_switch_key(const uint8_t *data, size_t len)
{
    return run_codec(&key_codec, data, len);
}

static size_t seed_switch_key(unsigned i, uint8_t *out)
{
    object o;
    if (i >= SETS) {
        return 0;
    }
    require(sotto_bfv_relin_key_new(&o.key, special_params[i], &special_secret[i], &rng) == SOTTO_OK);
    const size_t len = write_seed(&key_codec, special_params[i], &o, o.key.seed, out);
    key_free(&o);
    return len;
}

const fuzz_target fuzz_switch_key = {"switch_key", start_switch, run_switch_key, seed_switch_key, 1};

static void galois_check(const sotto_bfv_params *p, const object *o)
{
    const sotto_bfv_galois_keys *keys = &o->galois;
    require(keys->count <= ELEMENTS_MAX && keys->n == sotto_bfv_n(p));
    for (size_t i = 0; i < keys->count; i++) {
        require(keys->element[i] % 2 == 1 && keys->element[i] < 2 * keys->n && keys->element[i] > (i == 0 ? 1 : keys->element[i - 1]));
        check_switch(p, &keys->key[i]);
        for (uint32_t j = 0; j < keys->n; j++) {
            require(keys->order[i * keys->n + j] < keys->n);
        }
    }
}

static int galois_read(object *o, const sotto_bfv_params *p, sotto_reader *r)
{
    return sotto_bfv_galois_keys_read(&o->galois, p, r, ELEMENTS_MAX);
}

static void galois_write(sotto_writer *w, const sotto_bfv_params *p, const object *o, sotto_block seed)
{
    (void)seed;
    sotto_bfv_galois_keys_write(w, p, &o->galois);
}

static void galois_free(object *o)
{
    sotto_bfv_galois_keys_free(&o->galois);
}

static size_t galois_bytes(const sotto_bfv_params *p, const object *o)
{
    return sotto_bfv_galois_keys_bytes(p, o->galois.count);
}

static const codec galois_codec = {special_params, galois_bytes, galois_read, galois_write, galois_free, galois_check};

static int run_galois_keys(const uint8_t *data, size_t len)
{
    return run_codec(&galois_codec, data, len);
}

static size_t seed_galois_keys(unsigned i, uint8_t *out)
{
    object o;
    if (i >= 3) {
        return 0;
    }
    const sotto_bfv_params *p = special_params[i / 2];
    const uint32_t element[] = {sotto_bfv_galois_row(p, 1), sotto_bfv_galois_swap(p)};
    require(sotto_bfv_galois_keys_new(&o.galois, p, &special_secret[i / 2], element, i == 0 ? 2 : 1, &rng) == SOTTO_OK);
    const size_t len = write_seed(&galois_codec, p, &o, (sotto_block){{0, 0}}, out);
    galois_free(&o);
    return len;
}

const fuzz_target fuzz_galois_keys = {"galois_keys", start_switch, run_galois_keys, seed_galois_keys, 1};

/* ---- answers ------------------------------------------------------------------------------------------------------- */

enum { WANTED = 37 };
static uint32_t wanted[WANTED];
static sotto_bfv_params *answer_params[SETS]; /* one and two primes in the owner's product */
static sotto_bfv_secret_key answer_secret[SETS];

static void start_answer(void)
{
    static const unsigned bits[SETS][2] = {{27, 0}, {24, 24}};
    start_keys();
    for (uint32_t i = 0; i < WANTED; i++) {
        wanted[i] = 1023 - 27 * i;
    }
    for (size_t i = 0; i < SETS; i++) {
        if (answer_params[i] == NULL) {
            require(sotto_bfv_params_from_bits(&answer_params[i], 1024u << i, bits[i], i + 1, 1u << (i == 0 ? 7 : 20)) == SOTTO_OK);
            require(sotto_bfv_secret_key_new(&answer_secret[i], answer_params[i], &rng) == SOTTO_OK);
        }
    }
}

/* Any bytes of the right length with zero padding decrypt to something below t; the rest is left in the reader. */
static int run_answer(const uint8_t *data, size_t len)
{
    int accepted = 0;
    for (size_t set = 0; set < SETS; set++) {
        const sotto_bfv_params *p = answer_params[set];
        const size_t bytes = sotto_bfv_answer_bytes(p, WANTED);
        uint64_t out[WANTED];
        sotto_reader r;
        memset(out, 0xa5, sizeof out);
        sotto_reader_init(&r, data, len);
        const int ok = sotto_bfv_answer_read(out, p, &answer_secret[set], &r, wanted, WANTED) == SOTTO_OK;
        require(ok == (r.status == SOTTO_OK));
        require(!ok || r.pos == bytes);
        for (size_t i = 0; i < WANTED; i++) {
            require(ok ? out[i] < sotto_bfv_t(p) : out[i] == 0xa5a5a5a5a5a5a5a5u);
        }
        accepted |= ok;
    }
    return accepted;
}

static size_t seed_answer(unsigned i, uint8_t *out)
{
    if (i >= 2 * SETS) {
        return 0;
    }
    const size_t len = sotto_bfv_answer_bytes(answer_params[i % SETS], WANTED);
    memset(out, 0, len);
    if (i >= SETS) { /* all ones but for the last byte, where padding may be */
        memset(out, 0xff, sotto_packed_bytes(sotto_bfv_n(answer_params[i % SETS]), (i % SETS == 0 ? 7 : 20) + SOTTO_ANSWER_A_EXTRA));
    }
    return len;
}

const fuzz_target fuzz_answer = {"answer", start_answer, run_answer, seed_answer, 1};
