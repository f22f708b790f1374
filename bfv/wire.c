#include "bfv/wire.h"

#include <string.h>

#include "bfv/internal.h"
#include "lib/ct.h"
#include "lib/mem.h"
#include "ring/poly.h"
#include "ring/sample.h"

#define WIRE_VERSION 2
#define HEADER_BYTES 8
#define SEED_BYTES 16
#define COUNT_BYTES 4
#define ELEMENT_BYTES 4

typedef enum wire_type { /* part of the format */
    PUBLIC_KEY = 1,
    SEEDED_CIPHERTEXT = 2,
    CIPHERTEXT = 3,
    SECRET_KEY = 4,
    SWITCH_KEY = 5,
    GALOIS_KEYS = 6
} wire_type;

static const char *const type_name[] = {NULL,         "public key",             "seeded ciphertext", "ciphertext",
                                        "secret key", "key for key switching", "Galois keys"};

static size_t poly_bytes(const sotto_bfv_params *p)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    size_t bytes = 0;
    for (size_t i = 0; i < sotto_rns_count(rns); i++)
        bytes += sotto_packed_bytes(sotto_bfv_n(p), sotto_rns_modulus(rns, i)->bits);
    return bytes;
}

/* Types that use the special prime too. */
static int is_special(wire_type type)
{
    return type == SWITCH_KEY || type == GALOIS_KEYS;
}

/* Seed and b parts of one key for key switching. */
static size_t switch_bytes(const sotto_bfv_params *p)
{
    const unsigned bits = sotto_rns_modulus(sotto_bfv_special(p), 0)->bits;
    return SEED_BYTES + sotto_rns_count(sotto_bfv_rns(p)) * (poly_bytes(p) + sotto_packed_bytes(sotto_bfv_n(p), bits));
}

/* Without what a count in the body adds. */
static size_t body_bytes(const sotto_bfv_params *p, wire_type type)
{
    switch (type) {
    case PUBLIC_KEY:
    case SEEDED_CIPHERTEXT:
        return SEED_BYTES + poly_bytes(p);
    case CIPHERTEXT:
        return 1 + 2 * poly_bytes(p);
    case SWITCH_KEY:
        return switch_bytes(p);
    case GALOIS_KEYS:
        return COUNT_BYTES;
    case SECRET_KEY:
        break;
    }
    return sotto_packed_bytes(sotto_bfv_n(p), 2);
}

static size_t prime_count(const sotto_bfv_params *p, wire_type type)
{
    return sotto_rns_count(sotto_bfv_rns(p)) + (is_special(type) ? 1 : 0);
}

/* Of all that an object of this type depends on. */
static uint32_t short_id(const sotto_bfv_params *p, wire_type type)
{
    const int ciphertext = type == CIPHERTEXT || type == SEEDED_CIPHERTEXT;
    return (uint32_t)(ciphertext ? sotto_bfv_set_id(p) : sotto_bfv_ring_id(p));
}

static void write_header(sotto_writer *w, const sotto_bfv_params *p, wire_type type)
{
    sotto_write_u8(w, (uint8_t)type);
    sotto_write_u8(w, WIRE_VERSION);
    sotto_write_u8(w, (uint8_t)__builtin_ctz(sotto_bfv_n(p)));
    sotto_write_u8(w, (uint8_t)prime_count(p, type));
    sotto_write_u32(w, short_id(p, type));
}

/* Stores the failure in the reader as well, so that a caller that goes on reading gets nothing. */
static int refuse(sotto_reader *r, int status)
{
    r->status = status;
    return status;
}

/* The first failure stays. */
static void refuse_write(sotto_writer *w, int status)
{
    if (w->status == SOTTO_OK)
        w->status = status;
}

/* Checks that the whole object is there and made for p; nothing is allocated before. */
static int read_header(sotto_reader *r, const sotto_bfv_params *p, wire_type type)
{
    const char *name = type_name[type];
    size_t want = HEADER_BYTES + body_bytes(p, type);
    if (r->status != SOTTO_OK)
        return r->status;
    if (sotto_reader_left(r) < want)
        return refuse(r, sotto_fail(SOTTO_ERR_FORMAT, "%s: %zu bytes left, expected %zu", name,
                                    sotto_reader_left(r), want));

    const uint8_t got_type = sotto_read_u8(r), version = sotto_read_u8(r);
    if (got_type != type)
        return refuse(r, sotto_fail(SOTTO_ERR_FORMAT, "%s: type %u, expected %d", name, got_type, (int)type));
    if (version != WIRE_VERSION)
        return refuse(r, sotto_fail(SOTTO_ERR_VERSION, "%s: format version %u, this build reads %d", name, version,
                                    WIRE_VERSION));
    const uint32_t log_n = sotto_read_u8(r), count = sotto_read_u8(r), id = sotto_read_u32(r);
    const struct {
        const char *name;
        uint32_t got, expected;
    } fields[] = {
        {"log2 of the ring degree", log_n, (uint32_t)__builtin_ctz(sotto_bfv_n(p))},
        {"number of primes", count, (uint32_t)prime_count(p, type)},
        {"identifier of the parameters", id, short_id(p, type)},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].got != fields[i].expected)
            return refuse(r, sotto_fail(SOTTO_ERR_FORMAT, "%s: %s is %lu, expected %lu: made for other parameters", name,
                                        fields[i].name, (unsigned long)fields[i].got, (unsigned long)fields[i].expected));
    return SOTTO_OK;
}

static void write_poly(sotto_writer *w, const sotto_rns *rns, const uint64_t *x)
{
    size_t n = sotto_rns_n(rns);
    for (size_t i = 0; i < sotto_rns_count(rns); i++)
        sotto_write_packed(w, x + i * n, n, sotto_rns_modulus(rns, i)->bits);
}

static int read_poly(sotto_reader *r, const sotto_rns *rns, uint64_t *x, const char *name)
{
    size_t n = sotto_rns_n(rns);
    for (size_t i = 0; i < sotto_rns_count(rns); i++) {
        const sotto_modulus *m = sotto_rns_modulus(rns, i);
        sotto_read_packed(r, x + i * n, n, m->bits);
        for (size_t j = 0; j < n; j++)
            if (x[i * n + j] >= m->q)
                return refuse(r, sotto_fail(SOTTO_ERR_FORMAT, "%s: coefficient %zu is not below prime %zu", name, j, i));
    }
    return r->status;
}

static void write_seed(sotto_writer *w, sotto_block seed)
{
    sotto_write_u64(w, seed.w[0]);
    sotto_write_u64(w, seed.w[1]);
}

static sotto_block read_seed(sotto_reader *r)
{
    sotto_block seed;
    seed.w[0] = sotto_read_u64(r);
    seed.w[1] = sotto_read_u64(r);
    return seed;
}

size_t sotto_bfv_public_key_bytes(const sotto_bfv_params *p)
{
    return HEADER_BYTES + body_bytes(p, PUBLIC_KEY);
}

void sotto_bfv_public_key_write(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_public_key *pk)
{
    write_header(w, p, PUBLIC_KEY);
    write_seed(w, pk->seed);
    write_poly(w, sotto_bfv_rns(p), pk->b);
}

int sotto_bfv_public_key_read(sotto_bfv_public_key *pk, const sotto_bfv_params *p, sotto_reader *r)
{
    const sotto_rns *rns = sotto_bfv_rns(p);
    memset(pk, 0, sizeof *pk);
    int status = read_header(r, p, PUBLIC_KEY);
    if (status != SOTTO_OK)
        return status;
    pk->ring = sotto_bfv_ring_id(p);
    pk->b = sotto_poly_new(rns);
    pk->a = sotto_poly_new(rns);
    if (pk->b == NULL || pk->a == NULL)
        status = refuse(r, sotto_fail(SOTTO_ERR_MEMORY, "no memory for a public key"));
    if (status == SOTTO_OK) {
        pk->seed = read_seed(r);
        status = read_poly(r, sotto_bfv_rns(p), pk->b, type_name[PUBLIC_KEY]);
    }
    if (status == SOTTO_OK)
        sotto_sample_uniform_seeded(rns, pk->a, pk->seed);
    else
        sotto_bfv_public_key_free(pk);
    return status;
}

size_t sotto_bfv_seeded_bytes(const sotto_bfv_params *p)
{
    return HEADER_BYTES + body_bytes(p, SEEDED_CIPHERTEXT);
}

void sotto_bfv_seeded_write(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_ct *ct, sotto_block seed)
{
    if (!ct->ntt) {
        refuse_write(w, sotto_fail(SOTTO_ERR_ARG, "seeded ciphertext in coefficient form: only a fresh one, in NTT form, "
                                   "has a seed"));
        return;
    }
    write_header(w, p, SEEDED_CIPHERTEXT);
    write_seed(w, seed);
    write_poly(w, sotto_bfv_rns(p), ct->c0);
}

int sotto_bfv_seeded_read(sotto_bfv_ct *ct, const sotto_bfv_params *p, sotto_reader *r)
{
    memset(ct, 0, sizeof *ct);
    int status = read_header(r, p, SEEDED_CIPHERTEXT);
    if (status != SOTTO_OK)
        return status;
    status = sotto_bfv_ct_new(ct, p);
    if (status != SOTTO_OK)
        return refuse(r, status);
    sotto_block seed = read_seed(r);
    status = read_poly(r, sotto_bfv_rns(p), ct->c0, type_name[SEEDED_CIPHERTEXT]);
    if (status == SOTTO_OK)
        sotto_sample_uniform_seeded(sotto_bfv_rns(p), ct->c1, seed);
    else
        sotto_bfv_ct_free(ct);
    return status;
}

size_t sotto_bfv_ct_bytes(const sotto_bfv_params *p)
{
    return HEADER_BYTES + body_bytes(p, CIPHERTEXT);
}

void sotto_bfv_ct_write(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_ct *ct)
{
    write_header(w, p, CIPHERTEXT);
    sotto_write_u8(w, ct->ntt ? 1 : 0);
    write_poly(w, sotto_bfv_rns(p), ct->c0);
    write_poly(w, sotto_bfv_rns(p), ct->c1);
}

int sotto_bfv_ct_read(sotto_bfv_ct *ct, const sotto_bfv_params *p, sotto_reader *r)
{
    const char *name = type_name[CIPHERTEXT];
    memset(ct, 0, sizeof *ct);
    int status = read_header(r, p, CIPHERTEXT);
    if (status != SOTTO_OK)
        return status;
    uint8_t form = sotto_read_u8(r);
    if (form > 1)
        return refuse(r, sotto_fail(SOTTO_ERR_FORMAT, "%s: form %u, expected 0 (coefficients) or 1 (NTT)", name, form));
    status = sotto_bfv_ct_new(ct, p);
    if (status != SOTTO_OK)
        return refuse(r, status);
    ct->ntt = form;
    status = read_poly(r, sotto_bfv_rns(p), ct->c0, name);
    if (status == SOTTO_OK)
        status = read_poly(r, sotto_bfv_rns(p), ct->c1, name);
    if (status != SOTTO_OK)
        sotto_bfv_ct_free(ct);
    return status;
}

static void write_switch(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_switch_key *key)
{
    const size_t k = sotto_rns_count(sotto_bfv_rns(p)), n = sotto_bfv_n(p);
    write_seed(w, key->seed);
    for (size_t i = 0; i < k; i++) {
        write_poly(w, sotto_bfv_rns(p), key->b + i * (k + 1) * n);
        write_poly(w, sotto_bfv_special(p), key->b + (i * (k + 1) + k) * n);
    }
}

/* The bytes are there. */
static int read_switch(sotto_bfv_switch_key *key, const sotto_bfv_params *p, sotto_reader *r, wire_type type)
{
    const size_t k = sotto_rns_count(sotto_bfv_rns(p)), n = sotto_bfv_n(p);
    int status = sotto_bfv_switch_key_alloc(key, p);
    if (status != SOTTO_OK)
        return refuse(r, status);
    key->seed = read_seed(r);
    for (size_t i = 0; status == SOTTO_OK && i < k; i++) {
        status = read_poly(r, sotto_bfv_rns(p), key->b + i * (k + 1) * n, type_name[type]);
        if (status == SOTTO_OK)
            status = read_poly(r, sotto_bfv_special(p), key->b + (i * (k + 1) + k) * n, type_name[type]);
    }
    if (status == SOTTO_OK)
        sotto_bfv_switch_key_finish(key, p);
    else
        sotto_bfv_switch_key_free(key);
    return status;
}

size_t sotto_bfv_switch_key_bytes(const sotto_bfv_params *p)
{
    return sotto_bfv_special(p) != NULL ? HEADER_BYTES + body_bytes(p, SWITCH_KEY) : 0;
}

void sotto_bfv_switch_key_write(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_switch_key *key)
{
    int status = sotto_bfv_check_switch_key(p, key);
    if (status != SOTTO_OK) {
        refuse_write(w, status);
        return;
    }
    write_header(w, p, SWITCH_KEY);
    write_switch(w, p, key);
}

int sotto_bfv_switch_key_read(sotto_bfv_switch_key *key, const sotto_bfv_params *p, sotto_reader *r)
{
    memset(key, 0, sizeof *key);
    int status = sotto_bfv_check_special(p);
    if (status != SOTTO_OK)
        return refuse(r, status);
    status = read_header(r, p, SWITCH_KEY);
    return status == SOTTO_OK ? read_switch(key, p, r, SWITCH_KEY) : status;
}

size_t sotto_bfv_galois_keys_bytes(const sotto_bfv_params *p, size_t count)
{
    size_t bytes;
    if (sotto_bfv_special(p) == NULL)
        return 0;
    if (__builtin_mul_overflow(count, ELEMENT_BYTES + switch_bytes(p), &bytes) ||
        __builtin_add_overflow(bytes, HEADER_BYTES + COUNT_BYTES, &bytes))
        return SIZE_MAX;
    return bytes;
}

void sotto_bfv_galois_keys_write(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_galois_keys *keys)
{
    int status = sotto_bfv_check_special(p);
    for (size_t i = 0; status == SOTTO_OK && i < keys->count; i++)
        status = sotto_bfv_check_switch_key(p, &keys->key[i]);
    if (status != SOTTO_OK) {
        refuse_write(w, status);
        return;
    }
    write_header(w, p, GALOIS_KEYS);
    sotto_write_u32(w, (uint32_t)keys->count);
    for (size_t i = 0; i < keys->count; i++) {
        sotto_write_u32(w, keys->element[i]);
        write_switch(w, p, &keys->key[i]);
    }
}

int sotto_bfv_galois_keys_read(sotto_bfv_galois_keys *keys, const sotto_bfv_params *p, sotto_reader *r, size_t count_max)
{
    const char *name = type_name[GALOIS_KEYS];
    const uint32_t n = sotto_bfv_n(p);
    memset(keys, 0, sizeof *keys);
    int status = sotto_bfv_check_special(p);
    if (status != SOTTO_OK)
        return refuse(r, status);
    status = read_header(r, p, GALOIS_KEYS);
    if (status != SOTTO_OK)
        return status;
    const size_t count = sotto_read_u32(r), key_bytes = ELEMENT_BYTES + switch_bytes(p);
    if (count > count_max)
        return refuse(r, sotto_fail(SOTTO_ERR_LIMIT, "%s: %zu keys, at most %zu are taken", name, count, count_max));
    if (count > sotto_reader_left(r) / key_bytes)
        return refuse(r, sotto_fail(SOTTO_ERR_FORMAT, "%s: %zu bytes left for %zu keys of %zu bytes", name,
                                    sotto_reader_left(r), count, key_bytes));
    status = sotto_bfv_galois_keys_alloc(keys, p, count);
    if (status != SOTTO_OK)
        return refuse(r, status);
    uint32_t below = 1;
    for (size_t i = 0; status == SOTTO_OK && i < count; i++) {
        const uint32_t g = sotto_read_u32(r);
        if (g % 2 == 0 || g <= below || g >= 2 * n) {
            status = refuse(r, sotto_fail(SOTTO_ERR_FORMAT, "%s: element %u after %u, expected ascending odd numbers below %u",
                                          name, (unsigned)g, (unsigned)below, (unsigned)(2 * n)));
            break;
        }
        status = read_switch(&keys->key[i], p, r, GALOIS_KEYS);
        keys->element[i] = below = g;
        keys->count = i + 1;
        sotto_bfv_galois_order(keys->order + i * n, n, g);
    }
    if (status != SOTTO_OK)
        sotto_bfv_galois_keys_free(keys);
    return status;
}

/* 64 coefficients of 2 bits fill whole bytes, so the pieces join without a gap. */
#define KEY_CHUNK 64

size_t sotto_bfv_secret_key_bytes(const sotto_bfv_params *p)
{
    return HEADER_BYTES + body_bytes(p, SECRET_KEY);
}

void sotto_bfv_secret_key_write(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk)
{
    uint64_t chunk[KEY_CHUNK];
    write_header(w, p, SECRET_KEY);
    for (uint32_t i = 0; i < sk->n; i += KEY_CHUNK) {
        for (uint32_t j = 0; j < KEY_CHUNK; j++)
            chunk[j] = (uint64_t)(sk->s[i + j] + 1);
        sotto_write_packed(w, chunk, KEY_CHUNK, 2);
    }
    sotto_wipe(chunk, sizeof chunk);
}

int sotto_bfv_secret_key_read(sotto_bfv_secret_key *sk, const sotto_bfv_params *p, sotto_reader *r)
{
    uint64_t chunk[KEY_CHUNK], bad = 0;
    memset(sk, 0, sizeof *sk);
    int status = read_header(r, p, SECRET_KEY);
    if (status != SOTTO_OK)
        return status;
    status = sotto_bfv_secret_key_alloc(sk, p);
    if (status != SOTTO_OK)
        return refuse(r, status);
    for (uint32_t i = 0; i < sk->n; i += KEY_CHUNK) {
        sotto_read_packed(r, chunk, KEY_CHUNK, 2);
        for (uint32_t j = 0; j < KEY_CHUNK; j++) {
            bad |= chunk[j] & (chunk[j] >> 1); /* 3 alone has both bits */
            sk->s[i + j] = (int64_t)chunk[j] - 1;
        }
    }
    sotto_wipe(chunk, sizeof chunk);
    /* That a stored key is damaged is no secret. */
    SOTTO_DECLASSIFY(&bad, sizeof bad);
    if (bad != 0) {
        sotto_bfv_secret_key_free(sk);
        return refuse(r, sotto_fail(SOTTO_ERR_FORMAT, "%s: a coefficient other than -1, 0, 1", type_name[SECRET_KEY]));
    }
    sotto_bfv_secret_key_finish(sk, p);
    return SOTTO_OK;
}
