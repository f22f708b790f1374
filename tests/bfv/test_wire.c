#include "bfv/wire.h"

#include "bfv/evaluate.h"
#include "tests/bfv/special.h"

static uint64_t seed;

/* One object of the format, read and written through one pair of functions, so that each test runs over all of them. */
typedef union object {
    sotto_bfv_public_key pk;
    sotto_bfv_ct ct;
    sotto_bfv_secret_key sk;
    sotto_bfv_switch_key key;
    sotto_bfv_galois_keys galois;
} object;

enum { GALOIS_MAX = 5 }; /* keys that a reader takes */

static sotto_block seeded_seed; /* the seed of the ciphertext that write_seeded writes */

static void write_pk(sotto_writer *w, const sotto_bfv_params *p, const object *x)
{
    sotto_bfv_public_key_write(w, p, &x->pk);
}

static int read_pk(object *x, const sotto_bfv_params *p, sotto_reader *r)
{
    return sotto_bfv_public_key_read(&x->pk, p, r);
}

static void free_pk(object *x)
{
    sotto_bfv_public_key_free(&x->pk);
}

static void write_seeded(sotto_writer *w, const sotto_bfv_params *p, const object *x)
{
    sotto_bfv_seeded_write(w, p, &x->ct, seeded_seed);
}

static int read_seeded(object *x, const sotto_bfv_params *p, sotto_reader *r)
{
    return sotto_bfv_seeded_read(&x->ct, p, r);
}

static void write_ct(sotto_writer *w, const sotto_bfv_params *p, const object *x)
{
    sotto_bfv_ct_write(w, p, &x->ct);
}

static int read_ct(object *x, const sotto_bfv_params *p, sotto_reader *r)
{
    return sotto_bfv_ct_read(&x->ct, p, r);
}

static void free_ct(object *x)
{
    sotto_bfv_ct_free(&x->ct);
}

static void write_sk(sotto_writer *w, const sotto_bfv_params *p, const object *x)
{
    sotto_bfv_secret_key_write(w, p, &x->sk);
}

static int read_sk(object *x, const sotto_bfv_params *p, sotto_reader *r)
{
    return sotto_bfv_secret_key_read(&x->sk, p, r);
}

static void free_sk(object *x)
{
    sotto_bfv_secret_key_free(&x->sk);
}

static void write_key(sotto_writer *w, const sotto_bfv_params *p, const object *x)
{
    sotto_bfv_switch_key_write(w, p, &x->key);
}

static int read_key(object *x, const sotto_bfv_params *p, sotto_reader *r)
{
    return sotto_bfv_switch_key_read(&x->key, p, r);
}

static void free_key(object *x)
{
    sotto_bfv_switch_key_free(&x->key);
}

static size_t galois_bytes(const sotto_bfv_params *p)
{
    return sotto_bfv_galois_keys_bytes(p, 2); /* as many as `make` makes */
}

static void write_galois(sotto_writer *w, const sotto_bfv_params *p, const object *x)
{
    sotto_bfv_galois_keys_write(w, p, &x->galois);
}

static int read_galois(object *x, const sotto_bfv_params *p, sotto_reader *r)
{
    return sotto_bfv_galois_keys_read(&x->galois, p, r, GALOIS_MAX);
}

static void free_galois(object *x)
{
    sotto_bfv_galois_keys_free(&x->galois);
}

enum { PK, SEEDED, CT, SK, SWITCH, GALOIS, KINDS };

static const struct kind {
    const char *name;
    size_t (*bytes)(const sotto_bfv_params *p);
    void (*write)(sotto_writer *w, const sotto_bfv_params *p, const object *x);
    int (*read)(object *x, const sotto_bfv_params *p, sotto_reader *r);
    void (*release)(object *x);
    size_t body; /* where the packed words start */
} kinds[KINDS] = {
    [PK] = {"public key", sotto_bfv_public_key_bytes, write_pk, read_pk, free_pk, 24},
    [SEEDED] = {"seeded", sotto_bfv_seeded_bytes, write_seeded, read_seeded, free_ct, 24},
    [CT] = {"ciphertext", sotto_bfv_ct_bytes, write_ct, read_ct, free_ct, 9},
    [SK] = {"secret key", sotto_bfv_secret_key_bytes, write_sk, read_sk, free_sk, 8},
    [SWITCH] = {"switch key", sotto_bfv_switch_key_bytes, write_key, read_key, free_key, 24},
    [GALOIS] = {"Galois keys", galois_bytes, write_galois, read_galois, free_galois, 32},
};

static const struct {
    uint32_t n;
    size_t count;
    unsigned bits[3], special;
} sets[] = {{1024, 1, {27}, 0}, {2048, 2, {25, 29}, 0}, {4096, 3, {36, 37, 36}, 0}, {2048, 2, {17, 18}, 18}};

/* The sets on which slower tests run. */
static const size_t small_sets[] = {0, 3};

static fixture set_new(size_t s, const sotto_rng *rng)
{
    if (sets[s].special == 0)
        return fixture_new(sets[s].n, sets[s].bits, sets[s].count, 100, rng);
    return special_new(sets[s].n, sets[s].bits, sets[s].count, sets[s].special, 100, NULL, rng);
}

/* Kinds that exist for this set. */
static int kinds_of(size_t s)
{
    return sets[s].special == 0 ? SWITCH : KINDS;
}

/* The object of this kind that f has, and for ciphertexts a fresh one. */
static object make(int kind, const fixture *f, const uint64_t *m)
{
    object x;
    memset(&x, 0, sizeof x);
    if (kind == PK)
        x.pk = f->pk;
    if (kind == SK)
        x.sk = f->sk;
    if (kind == SWITCH)
        assert_ok(sotto_bfv_relin_key_new(&x.key, f->p, &f->sk, f->rng));
    if (kind == GALOIS) {
        const uint32_t element[] = {2 * f->n - 1, 3};
        assert_ok(sotto_bfv_galois_keys_new(&x.galois, f->p, &f->sk, element, 2, f->rng));
    }
    if (kind == SEEDED || kind == CT) {
        assert_ok(sotto_bfv_ct_new(&x.ct, f->p));
        assert_ok(sotto_bfv_encrypt_symmetric(&x.ct, &seeded_seed, f->p, &f->sk, m, f->rng));
    }
    return x;
}

static void unmake(int kind, object *x)
{
    if (kind != PK && kind != SK)
        kinds[kind].release(x);
}

static uint8_t *encode(size_t *len, int kind, const sotto_bfv_params *p, const object *x)
{
    sotto_writer w;
    *len = kinds[kind].bytes(p);
    uint8_t *data = malloc(*len);
    assert_non_null(data);
    sotto_writer_init(&w, data, *len);
    kinds[kind].write(&w, p, x);
    assert_int_equal(w.status, SOTTO_OK);
    if (kind == GALOIS && x->galois.count < 2)
        *len = sotto_bfv_galois_keys_bytes(p, x->galois.count);
    assert_int_equal(w.pos, *len);
    return data;
}

static int decode(object *x, int kind, const sotto_bfv_params *p, const uint8_t *data, size_t len)
{
    sotto_reader r;
    sotto_reader_init(&r, data, len);
    int status = kinds[kind].read(x, p, &r);
    if (status != SOTTO_OK) {
        assert_int_equal(r.status, status);
        const object zero = {.pk = {.b = NULL}};
        if (kind == PK)
            assert_memory_equal(&x->pk, &zero, sizeof x->pk);
        else if (kind == SK)
            assert_memory_equal(&x->sk, &zero, sizeof x->sk);
        else if (kind == SWITCH)
            assert_true(x->key.b == NULL && x->key.a == NULL && x->key.words == 0);
        else if (kind == GALOIS)
            assert_true(x->galois.count == 0 && x->galois.key == NULL && x->galois.order == NULL);
        else
            assert_true(x->ct.c0 == NULL && x->ct.c1 == NULL);
    }
    return status;
}

static void test_round_trip(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 1);
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        fixture f = set_new(s, &rng);
        uint64_t *m = words_new(f.n);
        message_fill(m, &f, MESSAGE_RANDOM);
        for (int kind = 0; kind < kinds_of(s); kind++) {
            object x = make(kind, &f, m), y;
            size_t len, size = f.sk.words * sizeof(uint64_t);
            uint8_t *data = encode(&len, kind, f.p, &x);
            assert_ok(decode(&y, kind, f.p, data, len));
            switch (kind) {
            case PK:
                assert_memory_equal(y.pk.b, f.pk.b, size);
                assert_memory_equal(y.pk.a, f.pk.a, size);
                assert_memory_equal(&y.pk.seed, &f.pk.seed, sizeof y.pk.seed);
                break;
            case SK:
                assert_memory_equal(y.sk.s, f.sk.s, f.n * sizeof *y.sk.s);
                assert_memory_equal(y.sk.s_ntt, f.sk.s_ntt, size);
                assert_true(y.sk.words == f.sk.words && y.sk.n == f.n);
                break;
            case SWITCH:
                assert_true(y.key.words == x.key.words);
                assert_memory_equal(y.key.b, x.key.b, x.key.words * sizeof *x.key.b);
                assert_memory_equal(y.key.a, x.key.a, x.key.words * sizeof *x.key.a);
                assert_memory_equal(&y.key.seed, &x.key.seed, sizeof x.key.seed);
                break;
            case GALOIS:
                assert_true(y.galois.count == 2 && y.galois.n == f.n);
                assert_memory_equal(y.galois.element, x.galois.element, 2 * sizeof *x.galois.element);
                assert_memory_equal(y.galois.order, x.galois.order, 2 * f.n * sizeof *x.galois.order);
                for (size_t i = 0; i < 2; i++) {
                    assert_memory_equal(y.galois.key[i].b, x.galois.key[i].b, x.galois.key[i].words * sizeof *x.key.b);
                    assert_memory_equal(y.galois.key[i].a, x.galois.key[i].a, x.galois.key[i].words * sizeof *x.key.a);
                }
                break;
            default:
                assert_memory_equal(y.ct.c0, x.ct.c0, size);
                assert_memory_equal(y.ct.c1, x.ct.c1, size);
                assert_decrypts(&f, &y.ct, m);
            }
            kinds[kind].release(&y);
            unmake(kind, &x);
            free(data);
        }
        free(m);
        fixture_free(&f);
    }
}

static void test_coefficient_form(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 2);
    fixture f = fixture_new(2048, sets[1].bits, 2, 100, &rng);
    uint64_t *m = words_new(f.n);
    message_fill(m, &f, MESSAGE_RANDOM);
    object x = make(CT, &f, m), y;
    size_t len;
    sotto_bfv_to_coeff(&x.ct, f.p);
    uint8_t *data = encode(&len, CT, f.p, &x);
    assert_ok(decode(&y, CT, f.p, data, len));
    assert_int_equal(y.ct.ntt, 0);
    assert_decrypts(&f, &y.ct, m);
    sotto_bfv_ct_free(&y.ct);
    data[8] = 2;
    assert_status(SOTTO_ERR_FORMAT, decode(&y, CT, f.p, data, len));

    sotto_writer w;
    sotto_writer_init(&w, data, len);
    sotto_bfv_seeded_write(&w, f.p, &x.ct, seeded_seed);
    assert_int_equal(w.status, SOTTO_ERR_ARG);
    assert_int_equal(w.pos, 0);
    sotto_bfv_ct_free(&x.ct);
    free(data);
    free(m);
    fixture_free(&f);
}

static void test_truncation(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 3);
    for (size_t i = 0; i < 2; i++) {
        fixture f = set_new(small_sets[i], &rng);
        uint64_t *m = words_new(f.n);
        for (int kind = 0; kind < kinds_of(small_sets[i]); kind++) {
            object x = make(kind, &f, m), y;
            size_t len;
            uint8_t *data = encode(&len, kind, f.p, &x);
            sotto_calloc_fail_after(0); /* a refusal comes before any allocation, else it would be another error */
            for (size_t cut = 0; cut < len; cut++)
                if (decode(&y, kind, f.p, data, cut) != SOTTO_ERR_FORMAT)
                    fail_msg("%s cut to %zu of %zu bytes was not refused", kinds[kind].name, cut, len);
            sotto_calloc_fail_after(-1);
            unmake(kind, &x);

            sotto_writer w; /* and a writer without room keeps its error */
            uint8_t *small = malloc(len);
            assert_non_null(small);
            x = make(kind, &f, m);
            for (size_t cut = 0; cut < len; cut += 1 + len / 50) {
                sotto_writer_init(&w, small, cut);
                kinds[kind].write(&w, f.p, &x);
                assert_int_equal(w.status, SOTTO_ERR_LIMIT);
            }
            unmake(kind, &x);
            free(small);
            free(data);
        }
        free(m);
        fixture_free(&f);
    }
}

/* A changed bit is refused or gives another valid object: one that is written as exactly the bytes that were read. */
static void test_flips(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 4);
    const int samples = getenv("SOTTO_TEST_LONG") != NULL ? 5000 : 150;
    for (size_t s = 0; s < 4; s += s == 1 ? 2 : 1) {
        fixture f = set_new(s, &rng);
        uint64_t *m = words_new(f.n);
        for (int kind = 0; kind < kinds_of(s); kind++) {
            object x = make(kind, &f, m), y;
            size_t len, again_len;
            uint8_t *data = encode(&len, kind, f.p, &x);
            for (int i = 0; i < 128 + samples; i++) {
                size_t bit = i < 128 ? (size_t)i : 64 + test_below(&rng, 8 * len - 64);
                data[bit / 8] ^= (uint8_t)(1u << bit % 8);
                int status = decode(&y, kind, f.p, data, len);
                if (i < 64)
                    assert_int_equal(status, i >= 8 && i < 16 ? SOTTO_ERR_VERSION : SOTTO_ERR_FORMAT);
                if (status == SOTTO_OK) {
                    if (kind == SEEDED)
                        memcpy(&seeded_seed, data + 8, sizeof seeded_seed);
                    uint8_t *again = encode(&again_len, kind, f.p, &y);
                    assert_true(again_len == len || (kind == GALOIS && again_len < len)); /* a smaller count */
                    assert_memory_equal(again, data, again_len);
                    free(again);
                    kinds[kind].release(&y);
                } else {
                    assert_true(status == SOTTO_ERR_FORMAT || status == SOTTO_ERR_VERSION ||
                                (status == SOTTO_ERR_LIMIT && kind == GALOIS && i >= 64));
                }
                data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            }
            unmake(kind, &x);
            free(data);
        }
        free(m);
        fixture_free(&f);
    }
}

/* The first and the last packed word set to all ones, which no prime and no ternary coefficient reaches; the prime
 * itself; the largest residue, which is fine. */
static void test_ranges(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 5);
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        fixture f = set_new(s, &rng);
        uint64_t *m = words_new(f.n);
        for (int kind = 0; kind < kinds_of(s); kind++) {
            object x = make(kind, &f, m), y;
            size_t len;
            uint8_t *data = encode(&len, kind, f.p, &x), *copy = malloc(len);
            assert_non_null(copy);
            const size_t places[] = {kinds[kind].body, len - 8};
            for (size_t i = 0; i < 2; i++) {
                memcpy(copy, data, len);
                memset(copy + places[i], 0xff, 8);
                assert_status(SOTTO_ERR_FORMAT, decode(&y, kind, f.p, copy, len));
            }
            if (kind != SK) {
                const sotto_modulus *q = sotto_rns_modulus(sotto_bfv_rns(f.p), 0);
                for (uint64_t below = 0; below < 2; below++) {
                    memcpy(copy, data, len);
                    uint64_t value = q->q - below, word;
                    memcpy(&word, copy + kinds[kind].body, 8);
                    word = (word & ~(((uint64_t)1 << q->bits) - 1)) | value;
                    memcpy(copy + kinds[kind].body, &word, 8);
                    assert_status(below ? SOTTO_OK : SOTTO_ERR_FORMAT, decode(&y, kind, f.p, copy, len));
                    if (below)
                        kinds[kind].release(&y);
                }
            }
            unmake(kind, &x);
            free(data);
            free(copy);
        }
        free(m);
        fixture_free(&f);
    }
}

/* Every object under parameters that it was not made for, with bytes enough. */
static void test_other_parameters(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 6);
    fixture f = fixture_new(2048, sets[1].bits, 2, 100, &rng);
    const struct {
        uint32_t n;
        size_t count;
        unsigned bits[2];
    } others[] = {{1024, 1, {27}}, {2048, 1, {54}}, {2048, 2, {29, 24}}, {2048, 2, {25, 28}}};
    uint64_t *m = words_new(f.n);
    for (int kind = 0; kind < SWITCH; kind++) {
        object x = make(kind, &f, m), y;
        size_t len;
        uint8_t *data = encode(&len, kind, f.p, &x);
        for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
            sotto_bfv_params *p = NULL;
            assert_ok(sotto_bfv_params_from_bits(&p, others[i].n, others[i].bits, others[i].count, 100));
            assert_status(SOTTO_ERR_FORMAT, decode(&y, kind, p, data, len));
            sotto_bfv_params_free(p);
        }
        /* Keys do not depend on t, ciphertexts do. */
        sotto_bfv_params *p = NULL;
        assert_ok(sotto_bfv_params_with_t(&p, f.p, 101));
        const int ciphertext = kind == SEEDED || kind == CT;
        assert_status(ciphertext ? SOTTO_ERR_FORMAT : SOTTO_OK, decode(&y, kind, p, data, len));
        if (!ciphertext)
            kinds[kind].release(&y);
        sotto_bfv_params_free(p);
        unmake(kind, &x);
        free(data);
    }
    free(m);
    fixture_free(&f);
}

static void test_no_memory(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 7);
    fixture f = set_new(3, &rng);
    uint64_t *m = words_new(f.n);
    for (int kind = 0; kind < KINDS; kind++) {
        object x = make(kind, &f, m), y;
        size_t len;
        uint8_t *data = encode(&len, kind, f.p, &x);
        int status = SOTTO_ERR_MEMORY;
        long k = 0;
        for (; k < FIXTURE_FAULTS_MAX && status != SOTTO_OK; k++) {
            sotto_calloc_fail_after(k);
            status = decode(&y, kind, f.p, data, len);
            sotto_calloc_fail_after(-1);
            if (status != SOTTO_OK)
                assert_int_equal(status, SOTTO_ERR_MEMORY);
        }
        assert_int_equal(status, SOTTO_OK);
        assert_true(k >= 3);
        kinds[kind].release(&y);
        unmake(kind, &x);
        free(data);
    }
    free(m);
    fixture_free(&f);
}

/* Keys for key switching under parameters that they were not made for: another prime, fewer of them, another special
 * prime, none. */
static void test_special_parameters(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 8);
    fixture f = set_new(3, &rng);
    const struct {
        uint32_t n;
        size_t count;
        unsigned bits[2], special;
    } others[] = {{2048, 2, {16, 18}, 18}, {2048, 1, {17}, 18},     {2048, 2, {17, 18}, 16},
                  {4096, 2, {17, 18}, 18}, {2048, 2, {18, 17}, 17}};
    for (int kind = SWITCH; kind < KINDS; kind++) {
        object x = make(kind, &f, NULL), y;
        size_t len;
        uint8_t *data = encode(&len, kind, f.p, &x);
        sotto_bfv_params *p = NULL;
        sotto_writer w;
        for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
            assert_ok(sotto_bfv_params_from_bits_special(&p, others[i].n, others[i].bits, others[i].count, others[i].special,
                                                         100));
            assert_status(SOTTO_ERR_FORMAT, decode(&y, kind, p, data, len));
            sotto_bfv_params_free(p);
        }
        assert_ok(sotto_bfv_params_from_bits(&p, 2048, sets[3].bits, 2, 100));
        assert_status(SOTTO_ERR_ARG, decode(&y, kind, p, data, len));
        assert_int_equal(kinds[kind].bytes(p), 0);
        sotto_writer_init(&w, data, len);
        kinds[kind].write(&w, p, &x);
        assert_true(w.status == SOTTO_ERR_ARG && w.pos == 0);
        sotto_bfv_params_free(p);
        unmake(kind, &x);
        free(data);
    }
    fixture_free(&f);
}

/* The count and the elements of Galois keys. */
static void test_galois_fields(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 9);
    fixture f = set_new(3, &rng);
    object x = make(GALOIS, &f, NULL), y;
    size_t len;
    uint8_t *data = encode(&len, GALOIS, f.p, &x);
    const size_t second = 12 + (len - 12) / 2;
    const struct {
        uint32_t count, first, last;
        int status;
    } cases[] = {
        {2, 3, 4095, SOTTO_OK},          {2, 5, 7, SOTTO_OK},
        {0, 3, 4095, SOTTO_OK},          {1, 4095, 0, SOTTO_OK},
        {3, 3, 4095, SOTTO_ERR_FORMAT},  {GALOIS_MAX, 3, 4095, SOTTO_ERR_FORMAT},
        {GALOIS_MAX + 1, 3, 4095, SOTTO_ERR_LIMIT}, {UINT32_MAX, 3, 4095, SOTTO_ERR_LIMIT},
        {2, 1, 4095, SOTTO_ERR_FORMAT},  {2, 3, 3, SOTTO_ERR_FORMAT},
        {2, 5, 3, SOTTO_ERR_FORMAT},     {2, 3, 4096, SOTTO_ERR_FORMAT},
        {2, 3, 4097, SOTTO_ERR_FORMAT},  {2, 4, 4095, SOTTO_ERR_FORMAT},
        {2, 0, 4095, SOTTO_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(data + 8, &cases[i].count, 4);
        memcpy(data + 12, &cases[i].first, 4);
        memcpy(data + second, &cases[i].last, 4);
        assert_status(cases[i].status, decode(&y, GALOIS, f.p, data, len));
        if (cases[i].status == SOTTO_OK) {
            assert_int_equal(y.galois.count, cases[i].count);
            kinds[GALOIS].release(&y);
        }
    }
    sotto_reader r; /* a count that the bytes cannot hold is refused before anything is allocated */
    const uint32_t many = 1 << 20;
    memcpy(data + 8, &many, 4);
    sotto_reader_init(&r, data, len);
    sotto_calloc_fail_after(0);
    assert_status(SOTTO_ERR_FORMAT, sotto_bfv_galois_keys_read(&y.galois, f.p, &r, SIZE_MAX));
    sotto_calloc_fail_after(-1);
    assert_true(sotto_bfv_galois_keys_bytes(f.p, SIZE_MAX / 2) == SIZE_MAX);
    unmake(GALOIS, &x);
    free(data);
    fixture_free(&f);
}

/* The bytes of every kind of object for fixed coins: a change of the format, or of what the seeds give, shows here. */
static void test_known_bytes(void **state)
{
    (void)state;
    static const char *const digests[KINDS] = {
        [PK] = "7397b1d840b4d320f9366465d18eae4c8e93fe257dfd7d7cf58cb30c0deb9c49",
        [SEEDED] = "a8d07187798d6b72168e2f0f9d89a16eaf6524907890bfdfdbf6d47ed00fdfe4",
        [CT] = "fe89f9462246aa5597b5babf3c4931b87d64c22e104ecd0e5cebcf7b728124e8",
        [SK] = "dae9f8fead7178de777d319ec23afcd6113f0f2dee7e62d1ef09c10dc0775ac7",
        [SWITCH] = "b834e1cd38c98fca04c5684c568a0e7c142438a37927a203fe7ea9bc97e634ee",
        [GALOIS] = "0c9181d4365e12346fc0fb73d7ade51aa43016b1974a632af12a42a0a92fd8e4",
    };
    sotto_prg prg;
    sotto_rng rng = fixed_rng(&prg, 10);
    fixture f = set_new(3, &rng);
    uint64_t *m = words_new(f.n);
    for (uint32_t i = 0; i < f.n; i++)
        m[i] = i % f.t;
    for (int kind = 0; kind < KINDS; kind++) {
        object x = make(kind, &f, m);
        size_t len;
        unsigned char hash[32];
        char hex[65];
        uint8_t *data = encode(&len, kind, f.p, &x);
        assert_int_equal(crypto_generichash(hash, sizeof hash, data, len, NULL, 0), 0);
        sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
        assert_string_equal(hex, digests[kind]);
        unmake(kind, &x);
        free(data);
    }
    free(m);
    fixture_free(&f);
}

/* Keys and ciphertexts that have travelled do what the originals do, to the bit. */
static void test_interchange(void **state)
{
    (void)state;
    sotto_rng rng = test_rng(seed, 10);
    const unsigned bits[] = {36, 36};
    fixture f = special_new(4096, bits, 2, 37, 1000, NULL, &rng);
    uint64_t *m = words_new(f.n);
    message_fill(m, &f, MESSAGE_RANDOM);
    object made[KINDS], read[KINDS];
    for (int kind = 0; kind < KINDS; kind++) {
        size_t len;
        made[kind] = make(kind, &f, m);
        uint8_t *data = encode(&len, kind, f.p, &made[kind]);
        assert_ok(decode(&read[kind], kind, f.p, data, len));
        free(data);
    }
    for (int ct = SEEDED; ct <= CT; ct++) {
        sotto_bfv_ct x = copy_of(&f, &made[ct].ct);
        assert_ok(sotto_bfv_mul(&x, f.p, &made[SEEDED].ct, &made[SWITCH].key));
        assert_ok(sotto_bfv_rotate_rows(&x, f.p, 1, &made[GALOIS].galois));
        assert_ok(sotto_bfv_mul(&read[ct].ct, f.p, &made[SEEDED].ct, &read[SWITCH].key));
        assert_ok(sotto_bfv_rotate_rows(&read[ct].ct, f.p, 1, &read[GALOIS].galois));
        assert_true(same_ct(&f, &x, &read[ct].ct));
        uint64_t *once = words_new(f.n), *again = words_new(f.n);
        assert_ok(sotto_bfv_decrypt(once, f.p, &f.sk, &x));
        assert_ok(sotto_bfv_decrypt(again, f.p, &read[SK].sk, &read[ct].ct));
        assert_memory_equal(once, again, f.n * sizeof *once);
        free(once);
        free(again);
        sotto_bfv_ct_free(&x);
    }
    sotto_bfv_ct x = copy_of(&f, &read[CT].ct); /* a public key that has travelled */
    assert_ok(sotto_bfv_encrypt_public(&x, f.p, &read[PK].pk, m, &rng));
    assert_decrypts(&f, &x, m);
    sotto_bfv_ct_free(&x);
    for (int kind = 0; kind < KINDS; kind++) {
        kinds[kind].release(&read[kind]);
        unmake(kind, &made[kind]);
    }
    free(m);
    fixture_free(&f);
}

int main(void)
{
    seed = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_coefficient_form),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_flips),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_other_parameters),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_special_parameters),
        cmocka_unit_test(test_galois_fields),
        cmocka_unit_test(test_known_bytes),
        cmocka_unit_test(test_interchange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
