/* Made-up machines for the tests of what plans for them. */
#ifndef SOTTO_TESTS_NN_MACHINES_H
#define SOTTO_TESTS_NN_MACHINES_H

#include <math.h>

#include "nn/plan/forecast.h"
#include "tests/nn/fixture.h"

static inline double some(const sotto_rng *rng, double low, double high)
{
    return low * pow(high / low, (double)test_below(rng, 1u << 20) / (1u << 20));
}

static inline void random_works(double *of, size_t count, const sotto_rng *rng, double low, double high)
{
    for (size_t i = 0; i < count; i++) {
        of[i] = some(rng, low, high);
    }
}

/* Costs within two orders of magnitude, with the first `sets` HE sets. */
static inline void random_costs(sotto_costs *c, size_t sets, const sotto_rng *rng)
{
    const sotto_he_set *all = sotto_network_sets(&c->he_count);
    memset(c, 0, sizeof *c);
    sotto_costs_machine(c->machine);
    c->he_count = sets;
    for (size_t i = 0; i < sets; i++) {
        c->he[i].set = all[i];
        random_works(c->he[i].of, SOTTO_HE_WORKS, rng, 1e-6, 1e-4);
        c->he[i].of[SOTTO_HE_FLOOD] *= 1e-3;
        c->he[i].of[SOTTO_HE_WANTED] *= 1e-3;
    }
    random_works(c->ot_send, sizeof c->ot_send / sizeof *c->ot_send, rng, 1e-9, 1e-7);
    random_works(c->ot_recv, sizeof c->ot_recv / sizeof *c->ot_recv, rng, 1e-9, 1e-7);
    random_works(c->tree, 2, rng, 1e-6, 1e-5);
    for (size_t i = 0; i < SOTTO_SIGN_PROVIDERS * 2; i++) {
        for (unsigned u = 2; u <= SOTTO_COST_U_MAX; u++) {
            random_works(c->unit[i / 2][i % 2][u].of, SOTTO_WORKS, rng, 1e-7, 1e-6);
        }
    }
    random_works(c->pixel.of, SOTTO_WORKS, rng, 1e-8, 1e-7);
    random_works(c->passed[0].of, SOTTO_WORKS, rng, 1e-8, 1e-7);
    random_works(c->passed[1].of, SOTTO_WORKS, rng, 1e-8, 1e-7);
    random_works(c->poly.of, SOTTO_WORKS, rng, 1e-8, 1e-7);
    random_works(c->label[0].of, SOTTO_WORKS, rng, 1e-8, 1e-7);
    random_works(c->label[1].of, SOTTO_WORKS, rng, 1e-8, 1e-7);
    random_works(c->apply, SOTTO_APPLY_KINDS, rng, 1e-10, 1e-9);
    c->word = some(rng, 1e-10, 1e-8);
    c->draw = some(rng, 1e-10, 1e-8);
    c->sent = some(rng, 1e-11, 1e-9);
    c->received = some(rng, 1e-11, 1e-9);
    c->byte = some(rng, 1e-10, 1e-9);
    c->message = some(rng, 1e-7, 1e-5);
    c->round_trip = some(rng, 1e-6, 1e-4);
    c->company = some(rng, 1.0, 2.0);
}

static inline sotto_conditions random_conditions(const sotto_costs *c, const sotto_rng *rng)
{
    const int loopback = test_below(rng, 4) == 0;
    return (sotto_conditions){c, loopback ? 0.0 : some(rng, 1e5, 1e9), some(rng, 1e-5, 1e-1), 1 + (unsigned)test_below(rng, 4), 0};
}

#endif
