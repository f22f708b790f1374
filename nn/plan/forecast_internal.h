/* Inside the planner: the work and the messages of a step, and the clocks that they move. */
#ifndef SOTTO_NN_PLAN_FORECAST_INTERNAL_H
#define SOTTO_NN_PLAN_FORECAST_INTERNAL_H

#include "nn/plan/forecast.h"
#include "nn/secure/frame.h"

/* Seconds of work and bytes of frames, 0 for what a step has not. */
typedef struct sotto_flow {
    double ask, answer, learn, ready; /* prepare: client, server, client, server */
    double up, down, choice, tables;  /* bytes: first, second and third flight, the last in both directions */
    double offer, reply, finish;      /* infer: server, client, server */
    double offer_bytes, reply_bytes;
} sotto_flow;

/* What a byte costs: on the line, a side that sends it, one that receives it; and how long it is on its way. */
typedef struct sotto_line {
    double byte, sent, received, delay;
} sotto_line;

/* When the first two flights have got to a step, all in seconds. */
typedef struct sotto_clocks {
    double ask;   /* the client has asked */
    double up;    /* its line is free */
    double serve; /* the server has answered */
    double down;  /* its line is free */
    double learn; /* the client has learnt, if it had waited for answers alone */
    double busy;  /* and if it had never waited: all its work up to here */
} sotto_clocks;

sotto_line sotto_line_of(const sotto_conditions *o);
/* A linear step of l bits with this plan, under the costs of `he`. */
sotto_flow sotto_flow_linear(const sotto_conditions *o, const sotto_he_cost *he, const sotto_linear_plan *plan, size_t kept_bytes);
/* Any step of t. */
sotto_flow sotto_flow_of(const sotto_terms *t, size_t step, const sotto_conditions *o);

#define SOTTO_SMALL_FRAME (SOTTO_FRAME_HEADER_BYTES + 8.0) /* PREPARE, READY */

static inline double sotto_later(double a, double b)
{
    return a > b ? a : b;
}

static inline sotto_clocks sotto_clocks_start(const sotto_line *l)
{
    return (sotto_clocks){.up = SOTTO_SMALL_FRAME * l->byte};
}

/* Past one more step. In every clock at once it is monotone, and adding x to all of them adds x to all results. */
static inline void sotto_clocks_pass(sotto_clocks *c, const sotto_flow *f, const sotto_line *l)
{
    const double sending = f->up * l->sent, receiving = f->down * l->received;
    c->ask += f->ask + sending;
    c->up = sotto_later(c->up, c->ask) + f->up * l->byte;
    if (f->up > 0.0) {
        c->serve = sotto_later(c->serve, c->up + l->delay) + f->up * l->received + f->answer + f->down * l->sent;
        c->down = sotto_later(c->down, c->serve) + f->down * l->byte;
        c->learn = sotto_later(c->learn, c->down + l->delay);
    }
    c->learn += receiving + f->learn;
    c->busy += f->ask + sending + receiving + f->learn;
}

/* When the client is ready, after the third flight of all steps. */
double sotto_flow_prepare_end(const sotto_clocks *c, const sotto_flow *flow, size_t steps, const sotto_line *l);
/* How long an inference takes. */
double sotto_flow_infer(const sotto_terms *t, const sotto_flow *flow, const sotto_line *l);

#endif
