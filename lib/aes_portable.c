/* AES-128 bit-sliced over eight blocks in eight planes of 128 bits: no table and no branch on data.
 *
 * Bit k of byte 4 r + c of plane b is bit b of the byte in row r, column c of block k: a 32-bit word of a plane is a row
 * of the state. Compilers make a plane one register where there are 128-bit ones and several words where not.
 */
#include <string.h>

#include "lib/aes_kernel.h"
#include "lib/mem.h"

enum { SLICES = 8, SCHEDULES = 32 }; /* blocks, and key schedules, that fill the eight planes */

typedef uint32_t plane __attribute__((vector_size(16)));
typedef uint16_t plane16 __attribute__((vector_size(16)));

/* The elements of x and y, numbered through, that the list names; gcc before 12 lacks clang's builtin. */
#if defined(__clang__)
#define SHUFFLE(type, x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define SHUFFLE(type, x, y, ...) __builtin_shuffle(x, y, (type){__VA_ARGS__})
#endif

/* ---- packing ---- */

/* In every byte, bit b of plane k changes places with bit k of plane b. Its own inverse. */
static inline void transpose(plane q[8])
{
    static const uint32_t mask[3] = {0x55555555, 0x33333333, 0x0f0f0f0f};

    for (unsigned s = 0; s < 3; s++) {
        const unsigned d = 1u << s;
        for (unsigned i = 0; i < 8; i++) {
            if (i & d)
                continue;
            const plane t = ((q[i] >> d) ^ q[i + d]) & mask[s];
            q[i] ^= t << d;
            q[i + d] ^= t;
        }
    }
}

/* A block's words are the columns of its state [FIPS 197, 3.4]; this turns them into rows, and back. First the corners of
 * 2x2 bytes change places, then the bytes in each of these squares. */
static inline plane turn(plane x)
{
    const plane left = {0x0000ffff, 0x0000ffff, 0xffff0000, 0xffff0000};
    const plane even = {0x00ff00ff, 0xff00ff00, 0x00ff00ff, 0xff00ff00};
    const plane y = SHUFFLE(plane, x, x, 2, 3, 0, 1);
    const plane z = (x & left) | SHUFFLE(plane, y << 16, y >> 16, 0, 1, 6, 7);
    const plane w = SHUFFLE(plane, z, z, 1, 0, 3, 2);

    return (z & even) | (SHUFFLE(plane, w << 8, w >> 8, 0, 5, 2, 7) & ~even);
}

/* Up to eight blocks, and zeros for the others. */
static inline void slice(plane q[8], const uint8_t *blocks, size_t n)
{
    memset(q, 0, 8 * sizeof *q);
    memcpy(q, blocks, n * sizeof *q);
    for (unsigned k = 0; k < 8; k++)
        q[k] = turn(q[k]);
    transpose(q);
}

static inline void unslice(uint8_t *blocks, plane q[8], size_t n)
{
    transpose(q);
    for (unsigned k = 0; k < 8; k++)
        q[k] = turn(q[k]);
    memcpy(blocks, q, n * sizeof *q);
}

/* ---- the S-box ----
 *
 * Inversion in GF(2^8) is done in the tower GF(16)[v]/(v^2 + v + u^3) over GF(16) = GF(2)[u]/(u^4 + u + 1), where
 * only GF(16) has to be inverted. The field of AES, GF(2)[x]/(x^8 + x^4 + x^3 + x + 1), is mapped to it by x -> u v:
 * u v is a root of that polynomial, and of all towers and roots this one gives the fewest xors (25, common pairs
 * shared) in the two changes of basis. tests/lib/test_aes.c recomputes both matrices' effect: all 256 values are
 * compared with the definition of [FIPS 197, 5.1.1].
 */

typedef struct gf16 {
    plane b[4]; /* coefficients of 1, u, u^2, u^3 of 128 elements */
} gf16;

static inline gf16 gf16_add(gf16 x, gf16 y)
{
    return (gf16){{x.b[0] ^ y.b[0], x.b[1] ^ y.b[1], x.b[2] ^ y.b[2], x.b[3] ^ y.b[3]}};
}

/* u^4 = u + 1, u^6 = u^3 + u^2. */
static inline gf16 gf16_square(gf16 x)
{
    return (gf16){{x.b[0] ^ x.b[2], x.b[2], x.b[1] ^ x.b[3], x.b[3]}};
}

/* u^3 x^2. */
static inline gf16 gf16_square_u3(gf16 x)
{
    return (gf16){{x.b[2], x.b[1] ^ x.b[2] ^ x.b[3], x.b[1], x.b[0] ^ x.b[2] ^ x.b[3]}};
}

static inline gf16 gf16_mul(gf16 x, gf16 y)
{
    const plane *a = x.b, *b = y.b;
    const plane p4 = (a[1] & b[3]) ^ (a[2] & b[2]) ^ (a[3] & b[1]);
    const plane p5 = (a[2] & b[3]) ^ (a[3] & b[2]);
    const plane p6 = a[3] & b[3];

    return (gf16){{
        (a[0] & b[0]) ^ p4,
        (a[0] & b[1]) ^ (a[1] & b[0]) ^ p4 ^ p5,
        (a[0] & b[2]) ^ (a[1] & b[1]) ^ (a[2] & b[0]) ^ p5 ^ p6,
        (a[0] & b[3]) ^ (a[1] & b[2]) ^ (a[2] & b[1]) ^ (a[3] & b[0]) ^ p6,
    }};
}

/* x^-1, and 0 for 0: each coefficient as a polynomial in those of x, found from the 16 values,
 *     x0 + x1 + x2 + x3 + x0 x2 + (1 + x0 + x3) x1 x2,        x3 (1 + x1) + (x0 + x1) x2 + (1 + x3) x0 x1,
 *     x2 + x0 x1 + x3 (1 + x0) + (1 + x3) x0 x2,              x1 + x2 + x3 (1 + x0 + x1 + x2 + x1 x2).
 */
static inline gf16 gf16_invert(gf16 x)
{
    const plane x0 = x.b[0], x1 = x.b[1], x2 = x.b[2], x3 = x.b[3];
    const plane x01 = x0 & x1, x02 = x0 & x2, x12 = x1 & x2, outer = x0 ^ x3, inner = x1 ^ x2;

    return (gf16){{
        outer ^ inner ^ x02 ^ (~outer & x12),
        (~x1 & x3) ^ ((x0 ^ x1) & x2) ^ (~x3 & x01),
        x2 ^ x01 ^ (~x0 & x3) ^ (~x3 & x02),
        inner ^ (~(x0 ^ inner ^ x12) & x3),
    }};
}

static inline void sub_bytes(plane q[8])
{
    /* To the tower: bit i of an element stands for (u v)^i. */
    const plane q57 = q[5] ^ q[7], q46 = q[4] ^ q[6], q23 = q[2] ^ q[3], q2357 = q57 ^ q23;
    const gf16 lo = {{q[0] ^ q57, q[2], q46 ^ q2357, q[3] ^ q[4]}};
    const gf16 hi = {{q[5] ^ q46, q[1] ^ q[7] ^ q46, q2357, q57}};

    /* (hi v + lo)(hi (v + 1) + lo) = u^3 hi^2 + hi lo + lo^2 lies in GF(16), and the second factor is the conjugate. */
    const gf16 norm = gf16_add(gf16_add(gf16_square_u3(hi), gf16_square(lo)), gf16_mul(hi, lo));
    const gf16 inverse = gf16_invert(norm);
    const gf16 h = gf16_mul(hi, inverse), l = gf16_mul(gf16_add(hi, lo), inverse);

    /* Back from the tower and through the affine map of [FIPS 197, 5.1.1], whose constant is 0x63. */
    const plane l05 = l.b[0] ^ h.b[1], l12 = l.b[1] ^ l.b[2], l035 = l.b[3] ^ l05, l0345 = h.b[0] ^ l035;
    const plane h67 = h.b[2] ^ h.b[3];
    q[0] = ~(l.b[0] ^ l.b[2] ^ h.b[2]);
    q[1] = ~(l12 ^ l0345);
    q[2] = h.b[2] ^ l035;
    q[3] = l.b[2] ^ l05;
    q[4] = l.b[1] ^ l0345;
    q[5] = ~(l.b[3] ^ h.b[1] ^ l12 ^ h67);
    q[6] = ~(h.b[0] ^ h67);
    q[7] = l12;
}

/* ---- the other steps of a round ---- */

/* Row r moves r columns to the left: rows 2 and 3 by two columns, then rows 1 and 3 by one. */
static inline void shift_rows(plane q[8])
{
    const plane odd = {0, 0xffffffff, 0, 0xffffffff};

    for (unsigned b = 0; b < 8; b++) {
        const plane x = (plane)SHUFFLE(plane16, (plane16)q[b], (plane16)q[b], 0, 1, 2, 3, 5, 4, 7, 6);
        q[b] = x ^ ((x ^ (x >> 8 | x << 24)) & odd);
    }
}

/* Every row replaced by the one below it, by two rows below. */
static inline plane next_row(plane x)
{
    return SHUFFLE(plane, x, x, 1, 2, 3, 0);
}

static inline plane opposite_row(plane x)
{
    return SHUFFLE(plane, x, x, 2, 3, 0, 1);
}

/* Row r becomes 2 a_r + 3 a_{r+1} + a_{r+2} + a_{r+3} = 2 t_r + a_{r+1} + t_{r+2} with t_r = a_r + a_{r+1}. Twice t: bits
 * move up by one, and bit 7 comes back as x^4 + x^3 + x + 1. */
static inline void mix_columns(plane q[8])
{
    plane t[8];

    for (unsigned b = 0; b < 8; b++) {
        const plane below = next_row(q[b]);
        t[b] = q[b] ^ below;
        q[b] = below ^ opposite_row(t[b]);
    }
    for (unsigned b = 0; b < 8; b++)
        q[b] ^= t[(b + 7) % 8];
    q[1] ^= t[7];
    q[3] ^= t[7];
    q[4] ^= t[7];
}

static inline void add_round_key(plane q[8], const plane rk[8])
{
    for (unsigned b = 0; b < 8; b++)
        q[b] ^= rk[b];
}

static void encrypt_slices(plane q[8], plane rk[11][8])
{
    add_round_key(q, rk[0]);
    for (unsigned r = 1; r < 10; r++) {
        sub_bytes(q);
        shift_rows(q);
        mix_columns(q);
        add_round_key(q, rk[r]);
    }
    sub_bytes(q);
    shift_rows(q);
    add_round_key(q, rk[10]);
}

/* ---- keys ---- */

/* SubWord on one word of each of the key schedules. The order of bytes in the planes does not matter here. */
static void sub_words(uint32_t w[SCHEDULES])
{
    plane q[8];

    memcpy(q, w, sizeof q);
    transpose(q);
    sub_bytes(q);
    transpose(q);
    memcpy(w, q, sizeof q);
    sotto_wipe(q, sizeof q);
}

/* [FIPS 197, 5.2] for n <= SCHEDULES keys at once. */
static void expand_many(sotto_aes_key *key, const sotto_block *k, size_t n)
{
    static const uint8_t rcon[10] = SOTTO_AES_RCON;
    uint32_t w[SCHEDULES] = {0};

    for (size_t i = 0; i < n; i++)
        key[i].round[0] = k[i];
    for (unsigned r = 0; r < 10; r++) {
        for (size_t i = 0; i < n; i++) {
            const uint32_t last = (uint32_t)(key[i].round[r].w[1] >> 32);
            w[i] = last >> 8 | last << 24;
        }
        sub_words(w);
        for (size_t i = 0; i < n; i++) {
            const sotto_block *old = &key[i].round[r];
            const uint32_t w0 = (uint32_t)old->w[0] ^ w[i] ^ rcon[r], w1 = (uint32_t)(old->w[0] >> 32) ^ w0;
            const uint32_t w2 = (uint32_t)old->w[1] ^ w1, w3 = (uint32_t)(old->w[1] >> 32) ^ w2;
            key[i].round[r + 1] = (sotto_block){{w0 | (uint64_t)w1 << 32, w2 | (uint64_t)w3 << 32}};
        }
    }
    sotto_wipe(w, sizeof w);
}

static void expand(sotto_aes_key *key, sotto_block k)
{
    expand_many(key, &k, 1);
}

/* ---- encryption ---- */

/* Up to eight blocks under sliced round keys. */
static void encrypt_some(plane rk[11][8], uint8_t *out, const uint8_t *in, size_t n)
{
    plane q[8];

    slice(q, in, n);
    encrypt_slices(q, rk);
    unslice(out, q, n);
}

/* One key for all blocks: a byte of plane b is all ones or all zeros, as bit b of the key's byte is. */
static void slice_key(plane rk[11][8], const sotto_aes_key *key)
{
    for (unsigned r = 0; r < 11; r++) {
        plane x;
        memcpy(&x, &key->round[r], sizeof x);
        x = turn(x);
        for (unsigned b = 0; b < 8; b++) {
            const plane bit = (x >> b) & 0x01010101;
            rk[r][b] = (bit << 8) - bit;
        }
    }
}

static void encrypt(const sotto_aes_key *key, sotto_block *out, const sotto_block *in, size_t count)
{
    plane rk[11][8];

    slice_key(rk, key);
    for (size_t i = 0; i < count; i += SLICES)
        encrypt_some(rk, (uint8_t *)(out + i), (const uint8_t *)(in + i), count - i < SLICES ? count - i : SLICES);
    sotto_wipe(rk, sizeof rk);
}

static void counter(const sotto_aes_key *key, void *out, uint64_t first, size_t count)
{
    plane rk[11][8];
    sotto_block b[SLICES];
    uint8_t *p = out;

    slice_key(rk, key);
    for (size_t n; count > 0; first += n, count -= n, p += n * sizeof *b) {
        n = count < SLICES ? count : SLICES;
        for (size_t j = 0; j < n; j++)
            b[j] = (sotto_block){{first + j, 0}};
        encrypt_some(rk, p, (const uint8_t *)b, n);
    }
    sotto_wipe(rk, sizeof rk);
}

static void encrypt_rekeyed(sotto_block *out, const sotto_block *in, size_t count, const sotto_block *k, size_t per)
{
    sotto_aes_key key[SCHEDULES];
    plane rk[11][8];
    size_t first = 0, keys = 0; /* key[] holds the schedules of k[first], ..., k[first + keys - 1] */

    for (size_t i = 0; i < count;) {
        size_t owner[SLICES], n = 0;

        if (i / per >= first + keys) {
            const size_t left = (count - 1) / per - i / per + 1;
            first = i / per;
            keys = left < SCHEDULES ? left : SCHEDULES;
            expand_many(key, k + first, keys);
        }
        for (; n < SLICES && i + n < count && (i + n) / per < first + keys; n++)
            owner[n] = (i + n) / per - first;
        for (unsigned r = 0; r < 11; r++) {
            sotto_block b[SLICES];
            for (size_t j = 0; j < n; j++)
                b[j] = key[owner[j]].round[r];
            slice(rk[r], (const uint8_t *)b, n);
        }
        encrypt_some(rk, (uint8_t *)(out + i), (const uint8_t *)(in + i), n);
        i += n;
    }
    sotto_wipe(key, sizeof key);
    sotto_wipe(rk, sizeof rk);
}

const sotto_aes_kernel sotto_aes_kernel_ref = {
    "portable", SOTTO_TIER_PORTABLE, expand, encrypt, encrypt_rekeyed, counter,
};
