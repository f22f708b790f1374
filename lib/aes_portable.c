/* AES-128 bit-sliced over four blocks in eight 64-bit words: no table and no branch on data.
 *
 * Plane b holds bit b of all 64 bytes. The byte in row r, column c of block k is bit
 *
 *     32 (c mod 2) + 8 r + 4 (c div 2) + k
 *
 * of each plane: the order in which an 8x8 bit transpose of every byte lane leaves the blocks' sixteen-byte halves.
 */
#include "lib/aes_kernel.h"
#include "lib/mem.h"

enum { SLICES = 4, SCHEDULES = 16 }; /* blocks, and key schedules, that fill the eight planes */

/* ---- packing ---- */

/* In every byte lane, bit b of word k changes places with bit k of word b. Its own inverse. */
static void transpose(uint64_t q[8])
{
    static const uint64_t mask[3] = {0x5555555555555555, 0x3333333333333333, 0x0f0f0f0f0f0f0f0f};

    for (unsigned s = 0; s < 3; s++) {
        const unsigned d = 1u << s;
        for (unsigned i = 0; i < 8; i++) {
            if (i & d)
                continue;
            const uint64_t t = ((q[i] >> d) ^ q[i + d]) & mask[s];
            q[i] ^= t << d;
            q[i + d] ^= t;
        }
    }
}

static void slice(uint64_t q[8], const sotto_block b[SLICES])
{
    for (unsigned k = 0; k < SLICES; k++) {
        q[k] = b[k].w[0];
        q[SLICES + k] = b[k].w[1];
    }
    transpose(q);
}

static void unslice(sotto_block b[SLICES], uint64_t q[8])
{
    transpose(q);
    for (unsigned k = 0; k < SLICES; k++)
        b[k] = (sotto_block){{q[k], q[SLICES + k]}};
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
    uint64_t b[4]; /* coefficients of 1, u, u^2, u^3 of 64 elements */
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
    const uint64_t *a = x.b, *b = y.b;
    const uint64_t p4 = (a[1] & b[3]) ^ (a[2] & b[2]) ^ (a[3] & b[1]);
    const uint64_t p5 = (a[2] & b[3]) ^ (a[3] & b[2]);
    const uint64_t p6 = a[3] & b[3];

    return (gf16){{
        (a[0] & b[0]) ^ p4,
        (a[0] & b[1]) ^ (a[1] & b[0]) ^ p4 ^ p5,
        (a[0] & b[2]) ^ (a[1] & b[1]) ^ (a[2] & b[0]) ^ p5 ^ p6,
        (a[0] & b[3]) ^ (a[1] & b[2]) ^ (a[2] & b[1]) ^ (a[3] & b[0]) ^ p6,
    }};
}

/* x^-1 = x^14 = x^2 (x^3)^4; 0 goes to 0. */
static inline gf16 gf16_invert(gf16 x)
{
    const gf16 x2 = gf16_square(x);

    return gf16_mul(x2, gf16_square(gf16_square(gf16_mul(x, x2))));
}

static void sub_bytes(uint64_t q[8])
{
    /* To the tower: bit i of an element stands for (u v)^i. */
    const uint64_t q57 = q[5] ^ q[7], q46 = q[4] ^ q[6], q23 = q[2] ^ q[3], q2357 = q57 ^ q23;
    const gf16 lo = {{q[0] ^ q57, q[2], q46 ^ q2357, q[3] ^ q[4]}};
    const gf16 hi = {{q[5] ^ q46, q[1] ^ q[7] ^ q46, q2357, q57}};

    /* (hi v + lo)(hi (v + 1) + lo) = u^3 hi^2 + hi lo + lo^2 lies in GF(16), and the second factor is the conjugate. */
    const gf16 norm = gf16_add(gf16_add(gf16_square_u3(hi), gf16_square(lo)), gf16_mul(hi, lo));
    const gf16 inverse = gf16_invert(norm);
    const gf16 h = gf16_mul(hi, inverse), l = gf16_mul(gf16_add(hi, lo), inverse);

    /* Back from the tower and through the affine map of [FIPS 197, 5.1.1], whose constant is 0x63. */
    const uint64_t l05 = l.b[0] ^ h.b[1], l12 = l.b[1] ^ l.b[2], l035 = l.b[3] ^ l05, l0345 = h.b[0] ^ l035;
    const uint64_t h67 = h.b[2] ^ h.b[3];
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

/* Row r moves r columns to the left. In the order above: rows 1 and 3 exchange the two 32-bit halves (columns of the
 * other parity); then the columns 2 apart, the nibbles of a byte lane, are exchanged in row 2, in the odd columns of
 * row 1 and in the even columns of row 3. */
static void shift_rows(uint64_t q[8])
{
    for (unsigned b = 0; b < 8; b++) {
        uint64_t x = q[b];
        x ^= (x ^ (x >> 32 | x << 32)) & 0xff00ff00ff00ff00;
        const uint64_t t = (x ^ x >> 4) & 0x000f0f000f0f0000;
        q[b] = x ^ t ^ t << 4;
    }
}

/* Every row replaced by the one below it, by two rows below: rotation of the 32-bit halves. */
static inline uint64_t next_row(uint64_t x)
{
    return (x >> 8 & 0x00ffffff00ffffff) | (x << 24 & 0xff000000ff000000);
}

static inline uint64_t opposite_row(uint64_t x)
{
    return (x >> 16 & 0x0000ffff0000ffff) | (x << 16 & 0xffff0000ffff0000);
}

/* Row r becomes 2 a_r + 3 a_{r+1} + a_{r+2} + a_{r+3} = 2 t_r + a_{r+1} + t_{r+2} with t_r = a_r + a_{r+1}. */
static void mix_columns(uint64_t q[8])
{
    uint64_t below[8], t[8];

    for (unsigned b = 0; b < 8; b++) {
        below[b] = next_row(q[b]);
        t[b] = q[b] ^ below[b];
    }
    /* Twice t: bits move up by one, and bit 7 comes back as x^4 + x^3 + x + 1. */
    for (unsigned b = 0; b < 8; b++)
        q[b] = (b ? t[b - 1] : 0) ^ ((0x1bu >> b & 1) ? t[7] : 0) ^ below[b] ^ opposite_row(t[b]);
}

static inline void add_round_key(uint64_t q[8], const uint64_t rk[8])
{
    for (unsigned b = 0; b < 8; b++)
        q[b] ^= rk[b];
}

static void encrypt_slices(uint64_t q[8], uint64_t rk[11][8])
{
    add_round_key(q, rk[0]);
    for (unsigned r = 1; r < 11; r++) {
        sub_bytes(q);
        shift_rows(q);
        if (r < 10)
            mix_columns(q);
        add_round_key(q, rk[r]);
    }
}

/* ---- keys ---- */

/* SubWord on one word of each of sixteen key schedules. The order of bytes in the planes does not matter here. */
static void sub_words(uint32_t w[SCHEDULES])
{
    uint64_t q[8];

    for (unsigned i = 0; i < 8; i++)
        q[i] = w[2 * i] | (uint64_t)w[2 * i + 1] << 32;
    transpose(q);
    sub_bytes(q);
    transpose(q);
    for (unsigned i = 0; i < 8; i++) {
        w[2 * i] = (uint32_t)q[i];
        w[2 * i + 1] = (uint32_t)(q[i] >> 32);
    }
    sotto_wipe(q, sizeof q);
}

/* [FIPS 197, 5.2] for n <= 16 keys at once. */
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

/* Up to four blocks under sliced round keys. */
static void encrypt_some(uint64_t rk[11][8], sotto_block *out, const sotto_block *in, size_t n)
{
    sotto_block b[SLICES] = {{{0, 0}}};
    uint64_t q[8];

    for (size_t j = 0; j < n; j++)
        b[j] = in[j];
    slice(q, b);
    encrypt_slices(q, rk);
    unslice(b, q);
    for (size_t j = 0; j < n; j++)
        out[j] = b[j];
}

static void encrypt(const sotto_aes_key *key, sotto_block *out, const sotto_block *in, size_t count)
{
    uint64_t rk[11][8];

    for (unsigned r = 0; r < 11; r++)
        slice(rk[r], (const sotto_block[SLICES]){key->round[r], key->round[r], key->round[r], key->round[r]});
    for (size_t i = 0; i < count; i += SLICES)
        encrypt_some(rk, out + i, in + i, count - i < SLICES ? count - i : SLICES);
    sotto_wipe(rk, sizeof rk);
}

static void encrypt_rekeyed(sotto_block *out, const sotto_block *in, size_t count, const sotto_block *k, size_t per)
{
    sotto_aes_key key[SCHEDULES];
    uint64_t rk[11][8];
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
            sotto_block b[SLICES] = {{{0, 0}}};
            for (size_t j = 0; j < n; j++)
                b[j] = key[owner[j]].round[r];
            slice(rk[r], b);
        }
        encrypt_some(rk, out + i, in + i, n);
        i += n;
    }
    sotto_wipe(key, sizeof key);
    sotto_wipe(rk, sizeof rk);
}

const sotto_aes_kernel sotto_aes_kernel_ref = {expand, encrypt, encrypt_rekeyed};
