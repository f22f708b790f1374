/* The gates of both schemes, written once; a kernel file defines the following and includes this file.
 *
 *     vec                     four blocks: lanes 4j .. 4j + 3 of a wire, which have keys 0 .. 3
 *     bits                    a condition per block
 *     load, store             any alignment; load_lows, store_lows: the low words alone, packed (loaded into both words of a block)
 *     add(x, y)               xor
 *     sigma(x)                (L, R) -> (R, L xor R), L the low word: multiplication by w of GF(4) = {0, 1, w, w^2}
 *     phi(x)                  the same on the halves of each word, which stays in its word
 *     spread(block)           four times the block
 *     tweaked(key, sub)       the keys with another sub
 *     lows(x), highs(x)       the low, high word of each block in both its words
 *     join(x, y)              low words of x, high words of y
 *     lowest(x), middle(x)    the lowest bit of each block, or of its high word, as a condition
 *     both, differ            and, xor of conditions
 *     add_if(x, c, y)         x xor (c ? y : 0)
 *     pack(c), unpack(n)      a condition as four bits of a number and back
 *     hash(x, key, keys, per) x[i] := AES(x[i]) xor x[i] under key[i / per], i < keys * per, block by block; keys and per are constants
 *
 * No branch and no address depends on a label, the offset or a condition.
 */
#include <string.h>

#include "garble/garbling_internal.h"

#define VECS 4u /* of a wire */
#define INLINE __attribute__((always_inline)) static inline

/* A wire's labels. Taken once for a gate: compilers have to expect that a store changes the operation or its slots. */
INLINE sotto_block *wire(const sotto_lanes *l, uint32_t slot)
{
    return l->slot[slot];
}

/* An operand of a garbled gate: the zero labels that the gate's function is about are at[] + flip. */
typedef struct operand {
    const sotto_block *at;
    vec flip;
} operand;

INLINE operand garbled(const sotto_lanes *l, uint32_t slot, unsigned inverted)
{
    return (operand){wire(l, slot), spread(sotto_block_and(l->offset, 0 - (uint64_t)inverted))};
}

INLINE vec zero_label(operand x, unsigned j)
{
    return add(load(x.at + 4 * j), x.flip);
}

/* A hash's input for lanes 4j .. 4j + 3. These have the keys of the other lanes modulo 4, and equal labels under one key would have equal hashes, of which tables
 * that differ by the offset alone follow: labels of a wire that is constant, as x xor x is, are equal in all instances. So j goes into the input. */
INLINE vec apart(vec x, unsigned j)
{
    return add(x, spread((sotto_block){{j, 0}}));
}

/* ---- half-gates [ZRE15, Fig. 2] ---------------------------------------------------------------------------------------- */

/* Generator half with sub, evaluator half with sub + 1:
 *     T_G = H(A0) + H(A1) + pb D,  T_E = H(B0) + H(B1) + A0,  C0 = H(A0) + pa T_G + H(B0) + pb (T_E + A0). */
INLINE void garble_and(sotto_lanes *l, const sotto_op *op, uint32_t sub, uint8_t *table)
{
    const operand a_wire = garbled(l, op->a, op->not_a), b_wire = garbled(l, op->b, op->not_b);
    sotto_block *out = wire(l, op->out);
    const vec offset = spread(l->offset), step = sigma(offset), keys = load(l->key);
    vec key[2] = {tweaked(keys, sub), tweaked(keys, sub + 1)};
    vec h[4 * VECS];
    for (unsigned j = 0; j < VECS; j++) {
        h[j] = apart(sigma(zero_label(a_wire, j)), j);
        h[VECS + j] = add(h[j], step);
    }
    for (unsigned j = 0; j < VECS; j++) {
        h[2 * VECS + j] = apart(sigma(zero_label(b_wire, j)), j);
        h[3 * VECS + j] = add(h[2 * VECS + j], step);
    }
    hash(h, key, 2, 2 * VECS);
    for (unsigned j = 0; j < VECS; j++) {
        const vec a = zero_label(a_wire, j), b = zero_label(b_wire, j);
        const bits pa = lowest(a), pb = lowest(b);
        const vec generator = add_if(add(h[j], h[VECS + j]), pb, offset), evaluator = add(h[2 * VECS + j], h[3 * VECS + j]);
        store(table + 64 * j, generator);
        store(table + SOTTO_EVAL_BYTES + 64 * j, add(evaluator, a));
        store(out + 4 * j, add_if(add_if(add(h[j], h[2 * VECS + j]), pa, generator), pb, evaluator));
    }
}

/* C = H(A) + sa T_G + H(B) + sb (T_E + A). */
INLINE void evaluate_and(sotto_lanes *l, const sotto_op *op, uint32_t sub, const uint8_t *table)
{
    const sotto_block *a_wire = wire(l, op->a), *b_wire = wire(l, op->b);
    sotto_block *out = wire(l, op->out);
    const vec keys = load(l->key);
    vec key[2] = {tweaked(keys, sub), tweaked(keys, sub + 1)};
    vec h[2 * VECS];
    for (unsigned j = 0; j < VECS; j++)
        h[j] = apart(sigma(load(a_wire + 4 * j)), j);
    for (unsigned j = 0; j < VECS; j++)
        h[VECS + j] = apart(sigma(load(b_wire + 4 * j)), j);
    hash(h, key, 2, VECS);
    for (unsigned j = 0; j < VECS; j++) {
        const vec a = load(a_wire + 4 * j), b = load(b_wire + 4 * j);
        const vec generator = load(table + 64 * j), evaluator = add(load(table + SOTTO_EVAL_BYTES + 64 * j), a);
        store(out + 4 * j, add_if(add_if(add(h[j], h[VECS + j]), lowest(a), generator), lowest(b), evaluator));
    }
}

/* The evaluator half alone, for a bit that the evaluator knows and whose permute bit is 0:
 *     T = H(B0) + H(B1) + A0,  C0 = H(B0);  C = H(B) + b (T + A). */
INLINE void garble_eval(sotto_lanes *l, const sotto_op *op, uint32_t sub, uint8_t *table)
{
    const operand a_wire = garbled(l, op->a, op->not_a), b_wire = garbled(l, op->b, op->not_b);
    sotto_block *out = wire(l, op->out);
    const vec step = sigma(spread(l->offset));
    vec key[1] = {tweaked(load(l->key), sub)};
    vec h[2 * VECS];
    for (unsigned j = 0; j < VECS; j++) {
        h[j] = apart(sigma(zero_label(b_wire, j)), j);
        h[VECS + j] = add(h[j], step);
    }
    hash(h, key, 1, 2 * VECS);
    for (unsigned j = 0; j < VECS; j++) {
        store(table + 64 * j, add(add(h[j], h[VECS + j]), zero_label(a_wire, j)));
        store(out + 4 * j, h[j]);
    }
}

INLINE void evaluate_eval(sotto_lanes *l, const sotto_op *op, uint32_t sub, const uint8_t *table)
{
    const sotto_block *a_wire = wire(l, op->a), *b_wire = wire(l, op->b);
    sotto_block *out = wire(l, op->out);
    vec key[1] = {tweaked(load(l->key), sub)};
    vec h[VECS];
    for (unsigned j = 0; j < VECS; j++)
        h[j] = apart(sigma(load(b_wire + 4 * j)), j);
    hash(h, key, 1, VECS);
    for (unsigned j = 0; j < VECS; j++) {
        const vec a = load(a_wire + 4 * j), b = load(b_wire + 4 * j);
        store(out + 4 * j, add_if(h[j], lowest(b), add(load(table + 64 * j), a)));
    }
}

/* ---- three-halves [RR21, Sec. 4 to 6] ---------------------------------------------------------------------------------
 *
 * A and B are now the labels with permute bit 0, A_i = A + i D, B_j = B + j D with D the offset, X_k = A + B + k D. A hash gives half a label, a word:
 * hA = low word of H(A), hB = high word of H(B), hX = low word of H(X), and one bit more, rA, rB, rX, the lowest of the word left over. The evaluator with
 * colours i, j computes, rho_ij = a + b w in GF(4) acting on blocks as a + b sigma,
 *
 *     C = (hA_i + hX_k, hB_j + hX_k) + (i (G0 + B_L) + k G2, j (G1 + A_R) + k G2) + rho_ij (w^2 A_i + B_j),    k = i + j
 *     a = i z0 + k z2 + rA_i + rX_k,   b = j z1 + k z2 + rB_j + rX_k
 *
 * where in the second brackets A, B are its labels too. For this to be C0 + t_ij D in all four cases, with t_ij = (i + pa)(j + pb), the control elements
 * have to be rho_01 = rho_00 + w^2 pa + pb, rho_10 = rho_00 + w pa + w^2 pb, rho_11 = rho_00 + pa + pb w. Whatever pa and pb, each of them is uniform when rho_00 is, and that
 * is all that the evaluator learns of them. The equations for 00, 01, 10 then define C0, G0, G1, G2 and z; 11 follows. The garbler takes rho_00 = (rA_0 + rX_0, rB_0 + rX_0), which
 * saves two of the paper's five control bits: an evaluator at ij lacks rA, rB and rX of the other colours; at 00 these mask z0, z1, z2; at every other ij two
 * of them are in rho_00 as a and b, alone, so that rho_ij is uniform, and the third masks the one z that is not used in a or b.
 *
 * Each of G0, G1, G2 has one word that the evaluator lacks: a hash of x = (label) + D, plus a linear form u D_L + v D_R. H(x) = AES(phi(x)) + phi(x), and phi multiplies each word
 * by an element outside {0, 1} of a field, so that (word of phi(x)) + u D_L + v D_R has full rank in D for all u, v: an attacker who guesses the cipher's output
 * to invert it has 126 unknown bits before it (D's lowest is known, one goes into z), not 64. With sigma some u, v would cancel.
 */
enum { AT_A, AT_B, AT_X, PLACES };

INLINE void garble_three(sotto_lanes *l, const sotto_op *op, uint32_t sub, uint8_t *table)
{
    const operand a_wire = garbled(l, op->a, op->not_a), b_wire = garbled(l, op->b, op->not_b);
    sotto_block *out = wire(l, op->out);
    const vec keys = load(l->key), d = spread(l->offset), wd = sigma(d), wwd = sigma(wd), step = phi(d);
    vec h[PLACES][2 * VECS];
    for (unsigned j = 0; j < VECS; j++) {
        const vec a = zero_label(a_wire, j), b = zero_label(b_wire, j);
        h[AT_A][j] = apart(phi(add_if(a, lowest(a), d)), j);
        h[AT_B][j] = apart(phi(add_if(b, lowest(b), d)), j);
        h[AT_X][j] = apart(add(h[AT_A][j], h[AT_B][j]), j);
        for (unsigned p = 0; p < PLACES; p++)
            h[p][VECS + j] = add(h[p][j], step);
    }
    for (unsigned p = 0; p < PLACES; p++) {
        vec key[1] = {tweaked(keys, sub + p)};
        hash(h[p], key, 1, 2 * VECS);
    }
    unsigned z0 = 0, z1 = 0, z2 = 0;
    for (unsigned j = 0; j < VECS; j++) {
        const vec a_zero = zero_label(a_wire, j), b_zero = zero_label(b_wire, j);
        const bits pa = lowest(a_zero), pb = lowest(b_zero);
        const vec a = add_if(a_zero, pa, d), b = add_if(b_zero, pb, d);
        const vec ha = h[AT_A][j], hb = h[AT_B][j], hx = h[AT_X][j];
        const vec da = add(ha, h[AT_A][VECS + j]), db = add(hb, h[AT_B][VECS + j]), dx = add(hx, h[AT_X][VECS + j]);
        const bits rho_a = middle(add(ha, hx)), rho_b = lowest(add(hb, highs(hx)));
        const vec m = add(sigma(sigma(a)), b), wm = sigma(m);
        /* C0 = (hA_0, hB_0) + hX_0 + rho_00 m + pa pb D. */
        const vec c = add_if(add_if(add(join(ha, hb), lows(hx)), rho_a, m), rho_b, wm);
        /* (G0, G1) = differences + (B_L, A_R) + (rho_01 + rho_10) m + rho_01 D + rho_10 w^2 D + (t_01 + t_10) D
         *          = differences + (B_L, A_R) + pa (m + D + w D) + pb w (m + D) + rho_00 w D. */
        vec g = add(join(da, db), join(b, a));
        g = add_if(g, pa, add(m, add(d, wd)));
        g = add_if(g, pb, add(wm, wd));
        g = add_if(add_if(g, rho_a, wd), rho_b, wwd);
        /* G2 = difference + pa D_L + ((rho_00 + rho_01) m + rho_01 D)_L, low words. */
        vec g2 = add_if(lows(dx), pa, add(add(m, wm), wd));
        g2 = add_if(g2, pb, add(m, d));
        g2 = add_if(add_if(g2, rho_a, d), rho_b, wd);
        store(out + 4 * j, add_if(c, both(pa, pb), d));
        store(table + 64 * j, g);
        store_lows(table + SOTTO_EVAL_BYTES + 32 * j, g2);
        z0 |= pack(differ(pa, middle(da))) << 4 * j;
        z1 |= pack(differ(pb, lowest(db))) << 4 * j;
        z2 |= pack(differ(differ(pa, pb), middle(dx))) << 4 * j;
    }
    const uint8_t z[6] = {(uint8_t)z0, (uint8_t)(z0 >> 8), (uint8_t)z1, (uint8_t)(z1 >> 8), (uint8_t)z2, (uint8_t)(z2 >> 8)};
    memcpy(table + SOTTO_LANES * 24, z, sizeof z);
}

INLINE void evaluate_three(sotto_lanes *l, const sotto_op *op, uint32_t sub, const uint8_t *table)
{
    const sotto_block *a_wire = wire(l, op->a), *b_wire = wire(l, op->b);
    sotto_block *out = wire(l, op->out);
    const vec keys = load(l->key);
    const uint8_t *z = table + SOTTO_LANES * 24;
    vec h[PLACES * VECS], key[PLACES] = {tweaked(keys, sub), tweaked(keys, sub + 1), tweaked(keys, sub + 2)};
    for (unsigned j = 0; j < VECS; j++) {
        h[j] = apart(phi(load(a_wire + 4 * j)), j);
        h[VECS + j] = apart(phi(load(b_wire + 4 * j)), j);
        h[2 * VECS + j] = apart(add(h[j], h[VECS + j]), j);
    }
    hash(h, key, PLACES, VECS);
    for (unsigned j = 0; j < VECS; j++) {
        const vec a = load(a_wire + 4 * j), b = load(b_wire + 4 * j);
        const vec ha = h[j], hb = h[VECS + j], hx = h[2 * VECS + j];
        const bits ci = lowest(a), cj = lowest(b), ck = differ(ci, cj);
        const unsigned at = j / 2, shift = 4 * (j % 2);
        const bits z2 = both(ck, unpack(z[4 + at] >> shift));
        const bits rho_a = differ(differ(both(ci, unpack(z[at] >> shift)), z2), middle(add(ha, hx)));
        const bits rho_b = differ(differ(both(cj, unpack(z[2 + at] >> shift)), z2), lowest(add(hb, highs(hx))));
        const vec g = add(load(table + 64 * j), join(b, a)), m = add(sigma(sigma(a)), b), none = add(a, a);
        vec c = add_if(add(join(ha, hb), lows(hx)), ck, load_lows(table + SOTTO_EVAL_BYTES + 32 * j));
        c = add(c, join(add_if(none, ci, g), add_if(none, cj, g)));
        store(out + 4 * j, add_if(add_if(c, rho_a, m), rho_b, sigma(m)));
    }
}

/* ---- running --------------------------------------------------------------------------------------------------------- */

/* And asks for the next batch's, a cache line a vector: wires are far apart in memory, which the processor does not foresee (it halves the time of a sign over
 * 20 bits in 8,192 instances). */
INLINE void take_input(sotto_lanes *l, const sotto_op *op)
{
    sotto_block *out = wire(l, op->out);
    const sotto_block *in = l->in + op->a * l->stride;
    for (unsigned j = 0; j < VECS; j++)
        store(out + 4 * j, load(in + 4 * j));
    for (unsigned j = 0; j < VECS; j++)
        __builtin_prefetch((const void *)((uintptr_t)in + (SOTTO_LANES + 4 * j) * sizeof *in));
}

INLINE void add_wires(sotto_lanes *l, const sotto_op *op)
{
    const sotto_block *a_wire = wire(l, op->a), *b_wire = wire(l, op->b);
    sotto_block *out = wire(l, op->out);
    for (unsigned j = 0; j < VECS; j++)
        store(out + 4 * j, add(load(a_wire + 4 * j), load(b_wire + 4 * j)));
}

INLINE void run_garble(sotto_lanes *l, const sotto_op *op, size_t count, uint8_t *table, sotto_garble_scheme scheme)
{
    for (const sotto_op *end = op + count; op < end; op++) {
        switch (op->kind) {
        case SOTTO_OP_LOAD:
            take_input(l, op);
            break;
        case SOTTO_OP_XOR:
            add_wires(l, op);
            break;
        case SOTTO_OP_AND:
            if (scheme == SOTTO_HALF_GATES)
                garble_and(l, op, 2 * l->gate, table);
            else
                garble_three(l, op, 3 * l->gate, table);
            table += scheme == SOTTO_HALF_GATES ? SOTTO_HALF_BYTES : SOTTO_THREE_BYTES;
            l->gate++;
            break;
        default:
            garble_eval(l, op, (scheme == SOTTO_HALF_GATES ? 2 : 3) * l->gate + 1, table);
            table += SOTTO_EVAL_BYTES;
            l->gate++;
            break;
        }
    }
}

INLINE void run_evaluate(sotto_lanes *l, const sotto_op *op, size_t count, const uint8_t *table, sotto_garble_scheme scheme)
{
    for (const sotto_op *end = op + count; op < end; op++) {
        switch (op->kind) {
        case SOTTO_OP_LOAD:
            take_input(l, op);
            break;
        case SOTTO_OP_XOR:
            add_wires(l, op);
            break;
        case SOTTO_OP_AND:
            if (scheme == SOTTO_HALF_GATES)
                evaluate_and(l, op, 2 * l->gate, table);
            else
                evaluate_three(l, op, 3 * l->gate, table);
            table += scheme == SOTTO_HALF_GATES ? SOTTO_HALF_BYTES : SOTTO_THREE_BYTES;
            l->gate++;
            break;
        default:
            evaluate_eval(l, op, (scheme == SOTTO_HALF_GATES ? 2 : 3) * l->gate + 1, table);
            table += SOTTO_EVAL_BYTES;
            l->gate++;
            break;
        }
    }
}

static void garble_half_gates(sotto_lanes *l, const sotto_op *ops, size_t count, uint8_t *tables)
{
    run_garble(l, ops, count, tables, SOTTO_HALF_GATES);
}

static void evaluate_half_gates(sotto_lanes *l, const sotto_op *ops, size_t count, const uint8_t *tables)
{
    run_evaluate(l, ops, count, tables, SOTTO_HALF_GATES);
}

static void garble_three_halves(sotto_lanes *l, const sotto_op *ops, size_t count, uint8_t *tables)
{
    run_garble(l, ops, count, tables, SOTTO_THREE_HALVES);
}

static void evaluate_three_halves(sotto_lanes *l, const sotto_op *ops, size_t count, const uint8_t *tables)
{
    run_evaluate(l, ops, count, tables, SOTTO_THREE_HALVES);
}
