/* Inside the planner: the work and the messages of a step, and the clocks that they move. */
#ifndef SOTTO_NN_PLAN_FORECAST_INTERNAL_H
#define SOTTO_NN_PLAN_FORECAST_INTERNAL_H

#include "nn/plan/forecast.h"
#include "nn/secure/frame.h"

/* Seconds of work and bytes of frames, 0 for what a step has not. */
typedef struct sotto_flow {
    double mask;                      /* prepare: client, before the first step of all */
    double ask, answer, learn, ready; /* client, server, client, server */
    double up, down, choice, tables;  /* bytes: first, second and third flight, the last in both directions */
    double offer, reply, finish;      /* infer: server, client, server */
    double offer_bytes, reply_bytes;
    double received, arrives;         /* when, by sotto_flow_prepare: its first flight at the server, its second at the client */
} sotto_flow;

/* What a byte costs: on the line, a side that sends it, one that receives it; a message of any length; how long it is on its way, how many bytes are at most, how much longer
 * all work takes while the other side works. */
typedef struct sotto_line {
    double byte, sent, received, message, delay, window, company;
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
/* Any step of t; the one past the last is the label's, all zero for a session that gives logits. */
sotto_flow sotto_flow_of(const sotto_terms *t, size_t step, const sotto_conditions *o);

#define SOTTO_SMALL_FRAME (SOTTO_FRAME_HEADER_BYTES + 8.0) /* PREPARE, READY */

static inline double sotto_later(double a, double b)
{
    return a > b ? a : b;
}

/* Work of either side on a message of so many bytes; none for 0. */
static inline double sotto_sending(const sotto_line *l, double bytes)
{
    return bytes > 0.0 ? l->message + bytes * l->sent : 0.0;
}

static inline double sotto_receiving(const sotto_line *l, double bytes)
{
    return bytes > 0.0 ? l->message + bytes * l->received : 0.0;
}

/* mask: of all steps. */
static inline sotto_clocks sotto_clocks_start(const sotto_line *l, double mask)
{
    return (sotto_clocks){.ask = mask, .busy = mask, .up = SOTTO_SMALL_FRAME * l->byte};
}

/* Past one more step, as if a connection held any number of bytes and no side slowed the other. In every clock at once it is monotone, and adding x to all of them adds x to all
 * results. */
static inline void sotto_clocks_pass(sotto_clocks *c, const sotto_flow *f, const sotto_line *l)
{
    const double asking = f->ask + sotto_sending(l, f->up), learning = sotto_receiving(l, f->down) + f->learn;
    c->ask += asking;
    c->up = sotto_later(c->up, c->ask) + f->up * l->byte;
    if (f->up > 0.0) {
        c->serve = sotto_later(c->serve, c->up + l->delay) + sotto_receiving(l, f->up) + f->answer + sotto_sending(l, f->down);
        c->down = sotto_later(c->down, c->serve) + f->down * l->byte;
    }
    if (f->down > 0.0) {
        c->learn = sotto_later(c->learn, c->down + l->delay);
    }
    c->learn += learning;
    c->busy += asking + learning;
}

/* Seconds in which the parties make a stock of silent OT, in turns, before anything else; 0 with other kinds of OT. */
double sotto_flow_stock(const sotto_terms *t, const sotto_conditions *o);
/* When the client is ready after that, of `count` steps, the label's included. */
double sotto_flow_prepare(sotto_flow *flow, size_t count, const sotto_line *l);
/* How long an inference takes; flow has the label's step as well. */
double sotto_flow_infer(const sotto_terms *t, const sotto_flow *flow, const sotto_line *l);

#endif
