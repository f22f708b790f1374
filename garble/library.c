#include "garble/library.h"

static int done(sotto_circuit *c)
{
    const int rc = sotto_circuit_finish(c);
    if (rc)
        sotto_circuit_free(c);
    return rc;
}

int sotto_circuit_adder(sotto_circuit *c, unsigned bits)
{
    sotto_circuit_init(c, 0, 0);
    if (bits < 1 || bits > SOTTO_WORD_MAX)
        return sotto_fail(SOTTO_ERR_ARG, "an adder of %u bits: choose from 1 to %u", bits, SOTTO_WORD_MAX);
    sotto_circuit_init(c, bits, bits);
    sotto_word_output(c, sotto_word_add(c, sotto_word_wires(0, bits), sotto_word_wires(bits, bits)));
    return done(c);
}

/* Part `at` of a number of `count` words of `bits` bits, the most significant being part 0, the number starting at
 * wire `first`. */
static sotto_word part(uint32_t first, unsigned at, unsigned count, unsigned bits)
{
    return sotto_word_wires(first + (count - 1 - at) * bits, bits);
}

/* ---- AES-128 ------------------------------------------------------------------------------------------------------ */

/* The S-box of Boyar and Peralta [A new combinational logic minimization technique with applications to cryptology,
 * SEA 2010, eprint 2009/191]: 115 gates, 32 of them AND, under the paper's names. x0 and s0 are the most significant
 * bits; 'x' is xor, 'n' xnor, '&' and. */
enum slp {
    X0, X1, X2, X3, X4, X5, X6, X7,
    Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15, Y16, Y17, Y18, Y19, Y20, Y21,
    T0, T1, T2, T3, T4, T5, T6, T7, T8, T9, T10, T11, T12, T13, T14, T15, T16, T17, T18, T19, T20, T21, T22, T23,
    T24, T25, T26, T27, T28, T29, T30, T31, T32, T33, T34, T35, T36, T37, T38, T39, T40, T41, T42, T43, T44, T45, T46,
    T47, T48, T49, T50, T51, T52, T53, T54, T55, T56, T57, T58, T59, T60, T61, T62, T63, T64, T65, T66, T67,
    Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15, Z16, Z17,
    S0, S1, S2, S3, S4, S5, S6, S7,
    SLP_WIRES
};

static const struct {
    uint8_t out, a, op, b;
} sbox_program[] = {
    /* top linear layer */
    {Y14, X3, 'x', X5}, {Y13, X0, 'x', X6}, {Y9, X0, 'x', X3}, {Y8, X0, 'x', X5}, {T0, X1, 'x', X2}, {Y1, T0, 'x', X7},
    {Y4, Y1, 'x', X3}, {Y12, Y13, 'x', Y14}, {Y2, Y1, 'x', X0}, {Y5, Y1, 'x', X6}, {Y3, Y5, 'x', Y8}, {T1, X4, 'x', Y12},
    {Y15, T1, 'x', X5}, {Y20, T1, 'x', X1}, {Y6, Y15, 'x', X7}, {Y10, Y15, 'x', T0}, {Y11, Y20, 'x', Y9}, {Y7, X7, 'x', Y11},
    {Y17, Y10, 'x', Y11}, {Y19, Y10, 'x', Y8}, {Y16, T0, 'x', Y11}, {Y21, Y13, 'x', Y16}, {Y18, X0, 'x', Y16},
    /* inversion in GF(2^8) through GF(2^4) */
    {T2, Y12, '&', Y15}, {T3, Y3, '&', Y6}, {T4, T3, 'x', T2}, {T5, Y4, '&', X7}, {T6, T5, 'x', T2}, {T7, Y13, '&', Y16},
    {T8, Y5, '&', Y1}, {T9, T8, 'x', T7}, {T10, Y2, '&', Y7}, {T11, T10, 'x', T7}, {T12, Y9, '&', Y11}, {T13, Y14, '&', Y17},
    {T14, T13, 'x', T12}, {T15, Y8, '&', Y10}, {T16, T15, 'x', T12}, {T17, T4, 'x', T14}, {T18, T6, 'x', T16}, {T19, T9, 'x', T14},
    {T20, T11, 'x', T16}, {T21, T17, 'x', Y20}, {T22, T18, 'x', Y19}, {T23, T19, 'x', Y21}, {T24, T20, 'x', Y18},
    {T25, T21, 'x', T22}, {T26, T21, '&', T23}, {T27, T24, 'x', T26}, {T28, T25, '&', T27}, {T29, T28, 'x', T22},
    {T30, T23, 'x', T24}, {T31, T22, 'x', T26}, {T32, T31, '&', T30}, {T33, T32, 'x', T24}, {T34, T23, 'x', T33},
    {T35, T27, 'x', T33}, {T36, T24, '&', T35}, {T37, T36, 'x', T34}, {T38, T27, 'x', T36}, {T39, T29, '&', T38},
    {T40, T25, 'x', T39}, {T41, T40, 'x', T37}, {T42, T29, 'x', T33}, {T43, T29, 'x', T40}, {T44, T33, 'x', T37},
    {T45, T42, 'x', T41}, {Z0, T44, '&', Y15}, {Z1, T37, '&', Y6}, {Z2, T33, '&', X7}, {Z3, T43, '&', Y16}, {Z4, T40, '&', Y1},
    {Z5, T29, '&', Y7}, {Z6, T42, '&', Y11}, {Z7, T45, '&', Y17}, {Z8, T41, '&', Y10}, {Z9, T44, '&', Y12}, {Z10, T37, '&', Y3},
    {Z11, T33, '&', Y4}, {Z12, T43, '&', Y13}, {Z13, T40, '&', Y5}, {Z14, T29, '&', Y2}, {Z15, T42, '&', Y9}, {Z16, T45, '&', Y14},
    {Z17, T41, '&', Y8},
    /* bottom linear layer */
    {T46, Z15, 'x', Z16}, {T47, Z10, 'x', Z11}, {T48, Z5, 'x', Z13}, {T49, Z9, 'x', Z10}, {T50, Z2, 'x', Z12}, {T51, Z2, 'x', Z5},
    {T52, Z7, 'x', Z8}, {T53, Z0, 'x', Z3}, {T54, Z6, 'x', Z7}, {T55, Z16, 'x', Z17}, {T56, Z12, 'x', T48}, {T57, T50, 'x', T53},
    {T58, Z4, 'x', T46}, {T59, Z3, 'x', T54}, {T60, T46, 'x', T57}, {T61, Z14, 'x', T57}, {T62, T52, 'x', T58}, {T63, T49, 'x', T58},
    {T64, Z4, 'x', T59}, {T65, T61, 'x', T62}, {T66, Z1, 'x', T63}, {S0, T59, 'x', T63}, {S6, T56, 'n', T62}, {S7, T48, 'n', T60},
    {T67, T64, 'x', T65}, {S3, T53, 'x', T66}, {S4, T51, 'x', T66}, {S5, T47, 'x', T65}, {S1, T64, 'n', S3}, {S2, T55, 'n', T67},
};

static sotto_word sbox(sotto_circuit *c, sotto_word x)
{
    uint32_t wire[SLP_WIRES];
    for (unsigned i = 0; i < 8; i++)
        wire[X0 + i] = x.wire[7 - i];
    for (size_t i = 0; i < sizeof sbox_program / sizeof *sbox_program; i++) {
        const uint32_t a = wire[sbox_program[i].a], b = wire[sbox_program[i].b];
        wire[sbox_program[i].out] = sbox_program[i].op == '&'   ? sotto_gate_and(c, a, b)
                                    : sbox_program[i].op == 'x' ? sotto_gate_xor(c, a, b)
                                                                : sotto_gate_xnor(c, a, b);
    }
    for (unsigned i = 0; i < 8; i++)
        x.wire[7 - i] = wire[S0 + i];
    return x;
}

/* x times 2 in GF(2)[x]/(x^8 + x^4 + x^3 + x + 1) [FIPS 197, 4.2.1]. */
static sotto_word doubled(sotto_circuit *c, sotto_word x)
{
    const sotto_word high = sotto_word_gate(c, x.wire[7], sotto_word_constant(0x1b, 8));
    return sotto_word_xor(c, sotto_word_shift_left(x, 1), high);
}

/* [FIPS 197, 5.1.3]: with t the xor of the column, row r becomes x_r + t + 2 (x_r + x_{r+1}). */
static void mix_column(sotto_circuit *c, sotto_word column[4])
{
    sotto_word pair[4];
    for (unsigned r = 0; r < 4; r++)
        pair[r] = sotto_word_xor(c, column[r], column[(r + 1) % 4]);
    const sotto_word all = sotto_word_xor(c, pair[0], pair[2]);
    for (unsigned r = 0; r < 4; r++)
        column[r] = sotto_word_xor(c, sotto_word_xor(c, column[r], all), doubled(c, pair[r]));
}

/* The next round key from the last one [FIPS 197, 5.2]; words are columns of four bytes. */
static void next_key(sotto_circuit *c, sotto_word key[16], uint64_t constant)
{
    for (unsigned r = 0; r < 4; r++) {
        key[r] = sotto_word_xor(c, key[r], sbox(c, key[12 + (r + 1) % 4]));
        if (r == 0)
            key[0] = sotto_word_xor(c, key[0], sotto_word_constant(constant, 8));
    }
    for (unsigned i = 4; i < 16; i++)
        key[i] = sotto_word_xor(c, key[i], key[i - 4]);
}

/* Byte 4 c + r of the state is row r of column c [FIPS 197, 3.4]. */
int sotto_circuit_aes128(sotto_circuit *c)
{
    static const uint8_t constants[10] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36};
    sotto_word key[16], state[16];
    sotto_circuit_init(c, 128, 128);
    for (unsigned i = 0; i < 16; i++) {
        key[i] = part(0, i, 16, 8);
        state[i] = sotto_word_xor(c, part(128, i, 16, 8), key[i]);
    }
    for (unsigned round = 0; round < 10; round++) {
        sotto_word shifted[16];
        for (unsigned i = 0; i < 16; i++) /* row r of column i / 4 comes from r columns further on */
            shifted[i] = sbox(c, state[(i + 4 * (i % 4)) % 16]);
        next_key(c, key, constants[round]);
        for (unsigned column = 0; column < 4 && round < 9; column++)
            mix_column(c, shifted + 4 * column);
        for (unsigned i = 0; i < 16; i++)
            state[i] = sotto_word_xor(c, shifted[i], key[i]);
    }
    for (unsigned i = 16; i-- > 0;)
        sotto_word_output(c, state[i]);
    return done(c);
}

/* ---- SHA-256 ------------------------------------------------------------------------------------------------------ */

/* [FIPS 180-4, 4.2.2]: first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* rotr(x, a) ^ rotr(x, b) ^ (x rotated, or shifted, by d). */
static sotto_word sigma(sotto_circuit *c, sotto_word x, unsigned a, unsigned b, unsigned d, int shift)
{
    const sotto_word last = shift ? sotto_word_slice(x, d, 32) : sotto_word_rotate_right(x, d);
    return sotto_word_xor(c, sotto_word_xor(c, sotto_word_rotate_right(x, a), sotto_word_rotate_right(x, b)), last);
}

static sotto_word majority(sotto_circuit *c, sotto_word x, sotto_word y, sotto_word z)
{
    for (unsigned i = 0; i < x.bits; i++)
        x.wire[i] = sotto_gate_majority(c, x.wire[i], y.wire[i], z.wire[i]);
    return x;
}

/* ch(e, f, g) is a multiplexer. */
static sotto_word choose(sotto_circuit *c, sotto_word e, sotto_word f, sotto_word g)
{
    for (unsigned i = 0; i < e.bits; i++)
        e.wire[i] = sotto_gate_mux(c, e.wire[i], f.wire[i], g.wire[i]);
    return e;
}

int sotto_circuit_sha256(sotto_circuit *c)
{
    sotto_word w[64], s[8];
    sotto_circuit_init(c, 256, 512);
    for (unsigned t = 0; t < 16; t++)
        w[t] = part(256, t, 16, 32);
    for (unsigned t = 16; t < 64; t++) {
        w[t] = sotto_word_add(c, w[t - 16], sigma(c, w[t - 15], 7, 18, 3, 1));
        w[t] = sotto_word_add(c, w[t], w[t - 7]);
        w[t] = sotto_word_add(c, w[t], sigma(c, w[t - 2], 17, 19, 10, 1));
    }
    for (unsigned i = 0; i < 8; i++)
        s[i] = part(0, i, 8, 32);
    for (unsigned t = 0; t < 64; t++) { /* s is a, b, ..., h */
        sotto_word t1 = sotto_word_add(c, w[t], sotto_word_constant(sha256_constants[t], 32));
        t1 = sotto_word_add(c, t1, s[7]);
        t1 = sotto_word_add(c, t1, sigma(c, s[4], 6, 11, 25, 0));
        t1 = sotto_word_add(c, t1, choose(c, s[4], s[5], s[6]));
        sotto_word t2 = sigma(c, s[0], 2, 13, 22, 0);
        t2 = sotto_word_add(c, t2, majority(c, s[0], s[1], s[2]));
        for (unsigned i = 7; i > 0; i--)
            s[i] = s[i - 1];
        s[4] = sotto_word_add(c, s[4], t1);
        s[0] = sotto_word_add(c, t1, t2);
    }
    for (unsigned i = 8; i-- > 0;)
        sotto_word_output(c, sotto_word_add(c, s[i], part(0, i, 8, 32)));
    return done(c);
}
