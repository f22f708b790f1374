/* What the tests of garbling share: random circuits, and many instances of one with their labels. */
#ifndef SOTTO_TESTS_GARBLE_INSTANCES_H
#define SOTTO_TESTS_GARBLE_INSTANCES_H

#include <stdlib.h>
#include <string.h>

#include "garble/garbling.h"
#include "tests/support/support.h"

static inline sotto_block random_block(const sotto_rng *rng)
{
    return (sotto_block){{test_u64(rng), test_u64(rng)}};
}

static inline sotto_block random_offset(const sotto_rng *rng)
{
    sotto_block b = random_block(rng);
    b.w[0] |= 1;
    return b;
}

static inline int same(sotto_block a, sotto_block b)
{
    return a.w[0] == b.w[0] && a.w[1] == b.w[1];
}

static inline sotto_block pick(sotto_block zero, sotto_block offset, unsigned bit)
{
    return bit ? sotto_block_xor(zero, offset) : zero;
}

static inline sotto_hash salted(const sotto_rng *rng)
{
    return (sotto_hash){.salt = random_block(rng), .domain = SOTTO_DOMAIN_GARBLE, .direction = (uint8_t)test_below(rng, 2)};
}

/* Gates of all kinds on random wires, outputs likewise: inputs, complements and repetitions among them. */
static inline void random_circuit(sotto_circuit *c, unsigned garbler, unsigned evaluator, unsigned gates, const sotto_rng *rng)
{
    sotto_circuit_init(c, garbler, evaluator);
    for (unsigned i = 0; i < gates; i++) {
        const uint32_t wires = sotto_circuit_wires(c);
        /* Half of the operands are recent, so that the circuit is deep. */
        const uint32_t near = wires < 4 ? wires : 4;
        const uint32_t a = (uint32_t)(test_below(rng, 2) ? test_below(rng, wires) : wires - 1 - test_below(rng, near));
        const uint32_t b = (uint32_t)test_below(rng, wires);
        switch (test_below(rng, 5)) {
        case 0:
            (void)sotto_gate_xor(c, a, b);
            break;
        case 1:
            (void)sotto_gate_not(c, a);
            break;
        case 2:
            if (evaluator) {
                (void)sotto_gate_and_eval(c, a, garbler + (uint32_t)test_below(rng, evaluator));
                break;
            } /* fall through */
        default:
            (void)sotto_gate_and(c, a, b);
        }
    }
    for (unsigned o = 0; o < 5; o++)
        sotto_circuit_output(c, (uint32_t)test_below(rng, sotto_circuit_wires(c)));
    assert_ok(sotto_circuit_finish(c));
}

/* A job with everything random. Freed with instances_free. */
typedef struct instances {
    const sotto_circuit *c;
    sotto_garbling *g;
    sotto_garble_job job;
    sotto_block offset;
    size_t inputs, bytes;
    sotto_block *zero, *in;       /* [inputs][instances] */
    sotto_block *out_zero, *out;  /* [outputs][instances] */
    uint8_t *tables;
    uint8_t *bits, *want;         /* [instances][inputs], [outputs] */
} instances;

static inline void instances_new(instances *s, const sotto_circuit *c, sotto_garble_scheme scheme, uint64_t first, size_t count, const sotto_rng *rng)
{
    memset(s, 0, sizeof *s);
    s->c = c;
    assert_ok(sotto_garbling_new(&s->g, c, scheme));
    s->job = (sotto_garble_job){s->g, salted(rng), first, count};
    s->offset = random_offset(rng);
    s->inputs = sotto_circuit_inputs(c);
    s->bytes = sotto_garble_bytes(&s->job);
    s->zero = calloc(s->inputs * count + 1, sizeof *s->zero);
    s->in = calloc(s->inputs * count + 1, sizeof *s->in);
    s->out_zero = calloc(c->output_count * count + 1, sizeof *s->out_zero);
    s->out = calloc(c->output_count * count + 1, sizeof *s->out);
    s->tables = calloc(s->bytes + 1, 1);
    s->bits = calloc(s->inputs * count + 1, 1);
    s->want = calloc(c->output_count + 1, 1);
    assert_true(s->zero && s->in && s->out_zero && s->out && s->tables && s->bits && s->want);
    for (size_t w = 0; w < s->inputs; w++)
        for (size_t i = 0; i < count; i++) {
            const size_t at = w * count + i;
            const unsigned bit = (unsigned)(test_u64(rng) & 1);
            s->bits[i * s->inputs + w] = (uint8_t)bit;
            s->zero[at] = random_block(rng);
            if (w >= c->garbler_inputs)
                s->zero[at] = sotto_label_known(s->zero[at], 0);
            s->in[at] = pick(s->zero[at], s->offset, bit);
        }
}

static inline void instances_free(instances *s)
{
    sotto_garbling_free(s->g);
    free(s->zero);
    free(s->in);
    free(s->out_zero);
    free(s->out);
    free(s->tables);
    free(s->bits);
    free(s->want);
}

static inline void instances_garble(instances *s)
{
    assert_ok(sotto_garble_tables(&s->job, s->offset, s->zero, s->tables, s->out_zero));
}

/* Every output label is the right one of its two. */
static inline void instances_check(instances *s)
{
    for (size_t i = 0; i < s->job.instances; i++) {
        assert_ok(sotto_circuit_run(s->c, s->want, s->bits + i * s->inputs));
        for (uint32_t o = 0; o < s->c->output_count; o++) {
            const size_t at = o * s->job.instances + i;
            assert_true(same(s->out[at], pick(s->out_zero[at], s->offset, s->want[o])));
            assert_int_equal(sotto_permute_bit(s->out[at]) ^ sotto_permute_bit(s->out_zero[at]), s->want[o]);
        }
    }
}

static inline void instances_evaluate(instances *s)
{
    assert_ok(sotto_garble_evaluate(&s->job, s->in, s->tables, s->out));
    instances_check(s);
}

#endif
