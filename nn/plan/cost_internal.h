/* Inside the measuring of costs: clocks, and what several parts of it need. */
#ifndef SOTTO_NN_PLAN_COST_INTERNAL_H
#define SOTTO_NN_PLAN_COST_INTERNAL_H

#include "nn/plan/cost.h"

enum { SOTTO_COST_ROUNDS = 5, SOTTO_COST_RUNS = 1, SOTTO_COST_DISTURBED = 1 << 19 /* words */ };

/* Seconds of processor time of this thread. */
double sotto_cost_own_time(void);
/* Sorts x. */
double sotto_cost_median(double *x, size_t count);
/* In a session other work lies between two calls for one layer: what it leaves in the caches. memory: SOTTO_COST_DISTURBED words. */
void sotto_cost_disturb(uint64_t *memory);

static inline double sotto_cost_positive(double x)
{
    return x > 0.0 ? x : 0.0;
}

/* Puts the medians of the rounds, which are of the same sets, into the first. */
void sotto_costs_median(sotto_costs *rounds, size_t count);
/* Costs of OTs of every kind, of units and of polynomials. */
SOTTO_MUST_CHECK int sotto_costs_measure_ot(sotto_costs *c, sotto_ot_kind kind);
SOTTO_MUST_CHECK int sotto_costs_measure_ferret(sotto_costs *c);
SOTTO_MUST_CHECK int sotto_costs_measure_units(sotto_costs *c);

#endif
