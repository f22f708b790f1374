#include "nn/plan/planner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/plan/forecast_internal.h"
#include "nn/secure/linear_internal.h"

#define PATHS_MAX 128u   /* ways to get through the layers so far that are followed */
#define SLACK 1e-6       /* of the slowest of them, to begin with */

/* ---- what a layer can do ----------------------------------------------------------------------------------------------------- */

typedef struct option {
    const sotto_he_set *set;
    sotto_linear_tile tile;
    sotto_flow flow;
} option;

/* Of one linear step, none worse than another in all that counts. */
typedef struct options {
    option *list;
    size_t count, cap;
    const sotto_step_info *step; /* NULL: of another step, which owns the list */
} options;

typedef struct search {
    options *out;
    const sotto_conditions *conditions;
    const sotto_he_cost *he;
    int status;
} search;

/* 1 when a is nowhere worse than b. */
static int covers(const sotto_flow *a, const sotto_flow *b)
{
    return a->ask <= b->ask && a->up <= b->up && a->answer <= b->answer && a->down <= b->down && a->learn <= b->learn;
}

static sotto_flow flow_of(const search *s, const sotto_linear_plan *candidate, const sotto_bfv_params *p)
{
    sotto_linear_plan plan = *candidate;
    plan.answer_bytes = sotto_linear_answer_offsets(&plan, p, NULL);
    return sotto_flow_linear(s->conditions, s->he, &plan, sotto_linear_kept_bytes(&plan, p));
}

static int wants(void *ctx, const sotto_linear_plan *candidate, const sotto_bfv_params *p)
{
    const search *s = ctx;
    const sotto_flow flow = flow_of(s, candidate, p);
    for (size_t i = 0; i < s->out->count; i++) {
        if (covers(&s->out->list[i].flow, &flow)) {
            return 0;
        }
    }
    return s->status == SOTTO_OK;
}

static void take(void *ctx, const sotto_linear_plan *candidate, const sotto_bfv_params *p)
{
    search *s = ctx;
    options *o = s->out;
    const option found = {&s->he->set, candidate->tile, flow_of(s, candidate, p)};
    size_t kept = 0;
    for (size_t i = 0; i < o->count; i++) {
        if (!covers(&found.flow, &o->list[i].flow)) {
            o->list[kept++] = o->list[i];
        }
    }
    o->count = kept;
    if (o->count == o->cap) {
        option *more = sotto_calloc(2 * o->cap + 16, sizeof *more);
        if (more == NULL) {
            s->status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for the choices of a layer");
            return;
        }
        if (o->count > 0) {
            memcpy(more, o->list, o->count * sizeof *more);
        }
        sotto_free(o->list);
        o->list = more;
        o->cap = 2 * o->cap + 16;
    }
    o->list[o->count++] = found;
}

static int options_find(options *o, const sotto_step_info *step, double coefficients, const sotto_conditions *conditions)
{
    int refused = SOTTO_ERR_PARAMS;
    o->step = step;
    for (size_t i = 0; i < conditions->costs->he_count; i++) {
        search s = {o, conditions, &conditions->costs->he[i], SOTTO_OK};
        const sotto_linear_visitor visitor = {wants, take, &s};
        sotto_bfv_params *p = NULL;
        const size_t before = o->count;
        int status = sotto_bfv_params_from_bits(&p, s.he->set.n, s.he->set.bits, s.he->set.primes, UINT64_C(1) << step->l);
        if (status == SOTTO_OK) {
            status = sotto_linear_plan_each(p, &step->linear, coefficients, &visitor);
            /* That no candidate was wanted is no reason to refuse. */
            status = status == SOTTO_ERR_PARAMS && before > 0 ? SOTTO_OK : status;
        }
        sotto_bfv_params_free(p);
        status = s.status != SOTTO_OK ? s.status : status;
        if (status != SOTTO_OK && status != SOTTO_ERR_PARAMS) {
            return status;
        }
        refused = status == SOTTO_ERR_PARAMS ? status : refused;
    }
    return o->count > 0 ? SOTTO_OK : sotto_fail_context(refused, "no HE parameters hold a ring of %u bits; the last ones refuse", step->l);
}

static int alike(const sotto_step_info *a, const sotto_step_info *b)
{
    return a->l == b->l && memcmp(&a->linear, &b->linear, sizeof a->linear) == 0;
}

static void options_free(options *o, size_t steps)
{
    for (size_t i = 0; o != NULL && i < steps; i++) {
        if (o[i].step != NULL) {
            sotto_free(o[i].list);
        }
    }
    sotto_free(o);
}

/* Of all linear steps; those that are alike share theirs. */
static int options_new(options **out, const sotto_program *p, const sotto_model *m, const sotto_conditions *conditions)
{
    int status = SOTTO_OK;
    options *o = sotto_calloc(p->step_count, sizeof *o);
    if (o == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the choices of %zu steps", p->step_count);
    }
    for (size_t i = 0; i < p->step_count && status == SOTTO_OK; i++) {
        if (p->steps[i].op != SOTTO_STEP_LINEAR) {
            continue;
        }
        size_t same = 0;
        while (same < i && (o[same].step == NULL || !alike(o[same].step, &p->steps[i]))) {
            same++;
        }
        if (same < i) {
            o[i] = o[same];
            o[i].step = NULL;
        } else {
            status = options_find(&o[i], &p->steps[i], p->coefficients, conditions);
            status = status == SOTTO_OK ? SOTTO_OK : sotto_fail_context(status, "node %s", m->nodes[p->steps[i].node].name);
        }
    }
    if (status != SOTTO_OK) {
        options_free(o, p->step_count);
        o = NULL;
    }
    *out = o;
    return status;
}

/* ---- ways through all layers --------------------------------------------------------------------------------------------------- */

typedef struct path {
    sotto_clocks at;
    double sum;      /* of the clocks: what is covered by another one has no smaller sum */
    uint32_t before; /* among those kept at the layer before */
    uint32_t option;
} path;

static double total(const sotto_clocks *c)
{
    return c->ask + c->up + c->serve + c->down + c->learn + c->busy;
}

static int by_sum(const void *a, const void *b)
{
    const double x = ((const path *)a)->sum, y = ((const path *)b)->sum;
    return (x > y) - (x < y);
}

static int earlier(const sotto_clocks *a, const sotto_clocks *b, double slack)
{
    return a->ask <= b->ask + slack && a->up <= b->up + slack && a->serve <= b->serve + slack && a->down <= b->down + slack && a->learn <= b->learn + slack &&
           a->busy <= b->busy + slack;
}

/* Moves those that are kept to the front; SIZE_MAX when they are more than PATHS_MAX. */
static size_t keep(path *kept, const path *all, size_t count, double slack)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < n && !earlier(&kept[k].at, &all[i].at, slack)) {
            k++;
        }
        if (k == n) {
            if (n == PATHS_MAX) {
                return SIZE_MAX;
            }
            kept[n++] = all[i];
        }
    }
    return n;
}

typedef struct ways {
    const sotto_program *program;
    const options *options;
    const sotto_line *line;
    path *kept;        /* PATHS_MAX of each step; used at linear ones */
    path *all;         /* before any is dropped */
    uint32_t *option;  /* per step: of the best way */
    uint32_t *tried;   /* and of any */
    double prepare, slack;
} ways;

static int ways_new(ways *w, const sotto_program *p, const options *o, const sotto_line *line)
{
    size_t most = 1;
    for (size_t i = 0; i < p->step_count; i++) {
        most = o[i].count > most ? o[i].count : most;
    }
    *w = (ways){p, o, line, sotto_calloc(p->step_count, PATHS_MAX * sizeof(path)), sotto_calloc(most, PATHS_MAX * sizeof(path)),
                sotto_calloc(p->step_count, sizeof(uint32_t)), sotto_calloc(p->step_count, sizeof(uint32_t)), 0.0, 0.0};
    return w->kept != NULL && w->all != NULL && w->option != NULL && w->tried != NULL ? SOTTO_OK : sotto_fail(SOTTO_ERR_MEMORY, "no memory for the choices of %zu steps", p->step_count);
}

static void ways_free(ways *w)
{
    sotto_free(w->kept);
    sotto_free(w->all);
    sotto_free(w->option);
    sotto_free(w->tried);
}

/* Every option of a step after every path that leads to it. */
static size_t branch(ways *w, size_t step, const sotto_clocks *at, size_t paths)
{
    const options *o = &w->options[step];
    size_t count = 0;
    for (size_t i = 0; i < paths; i++) {
        for (size_t k = 0; k < o->count; k++) {
            path *p = &w->all[count++];
            *p = (path){at[i], 0.0, (uint32_t)i, (uint32_t)k};
            sotto_clocks_pass(&p->at, &o->list[k].flow, w->line);
            p->sum = total(&p->at);
        }
    }
    qsort(w->all, count, sizeof *w->all, by_sum);
    path *kept = w->kept + step * PATHS_MAX;
    double slack = 0.0;
    size_t n = keep(kept, w->all, count, slack);
    while (n == SIZE_MAX) {
        slack = slack == 0.0 ? SLACK * w->all[count - 1].sum : 2.0 * slack;
        n = keep(kept, w->all, count, slack);
    }
    w->slack += slack;
    return n;
}

/* The options of a way that ends with path k of the last linear step. */
static void trace_back(const ways *w, size_t k, uint32_t *out)
{
    for (size_t i = w->program->step_count; i-- > 0;) {
        if (w->options[i].count > 0) {
            const path *p = &w->kept[i * PATHS_MAX + k];
            out[i] = p->option;
            k = p->before;
        }
    }
}

/* flow: of the steps that are not linear, and the label's. */
static void ways_best(ways *w, sotto_flow *flow)
{
    const size_t steps = w->program->step_count;
    double mask = 0.0;
    for (size_t i = 0; i < steps; i++) {
        mask += flow[i].mask;
    }
    sotto_clocks at[PATHS_MAX] = {sotto_clocks_start(w->line, mask)};
    size_t paths = 1, last = SIZE_MAX;
    w->slack = 0.0;
    for (size_t i = 0; i < steps; i++) {
        if (w->options[i].count > 0) {
            paths = branch(w, i, at, paths);
            last = i;
        }
        for (size_t k = 0; k < paths; k++) {
            if (last == i) {
                at[k] = w->kept[i * PATHS_MAX + k].at;
            } else {
                sotto_clocks_pass(&at[k], &flow[i], w->line);
            }
        }
    }
    w->prepare = INFINITY;
    for (size_t k = 0; k < paths; k++) {
        trace_back(w, k, w->tried);
        for (size_t i = 0; i < steps; i++) {
            if (w->options[i].count > 0) {
                const double own = flow[i].mask;
                flow[i] = w->options[i].list[w->tried[i]].flow;
                flow[i].mask = own;
            }
        }
        const double end = sotto_flow_prepare(flow, steps + 1, w->line);
        if (end < w->prepare) {
            w->prepare = end;
            memcpy(w->option, w->tried, steps * sizeof *w->option);
        }
    }
}

/* ---- the session --------------------------------------------------------------------------------------------------------------- */

static void set_plan(sotto_node_plan *plan, const option *o)
{
    plan->he_n = o->set->n;
    plan->he_primes = o->set->primes;
    memcpy(plan->he_prime_bits, o->set->bits, sizeof plan->he_prime_bits);
    plan->tile[0] = o->tile.channels;
    plan->tile[1] = o->tile.filters;
    plan->tile[2] = o->tile.rows;
    plan->tile[3] = o->tile.cols;
}

static void set_plans(sotto_model *m, const sotto_program *p, const options *o, const uint32_t *chosen)
{
    for (size_t i = 0; i < p->step_count; i++) {
        if (o[i].count > 0) {
            set_plan(&m->nodes[p->steps[i].node].plan, &o[i].list[chosen[i]]);
        }
    }
}

/* 1 when the first is better; infinite times are those of no choice yet. */
static int better(const sotto_choice *a, const sotto_choice *b, sotto_goal goal)
{
    switch (goal) {
    case SOTTO_GOAL_PREPARE:
        return a->prepare < b->prepare || (a->prepare == b->prepare && a->infer < b->infer);
    case SOTTO_GOAL_INFER:
        return a->infer < b->infer || (a->infer == b->infer && a->prepare < b->prepare);
    case SOTTO_GOAL_SUM:
        break;
    }
    return a->prepare + a->infer < b->prepare + b->infer;
}

typedef struct trial {
    const sotto_wish *wish;
    const sotto_network *network;
    ways *ways;
    sotto_flow *flow;
    uint32_t *option; /* of the best session so far */
    sotto_choice best;
} trial;

static int try_session(trial *r, sotto_sign_provider sign, sotto_ot_kind ot)
{
    const sotto_program *p = &r->network->program;
    sotto_terms t;
    int status = sotto_terms_new(&t, r->network, sign, ot);
    if (status == SOTTO_OK && r->wish->label_only) {
        status = sotto_terms_label_only(&t);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    for (size_t i = 0; i <= p->step_count; i++) {
        r->flow[i] = sotto_flow_of(&t, i, &r->wish->conditions);
    }
    ways_best(r->ways, r->flow);
    const sotto_choice choice = {sign, ot, sotto_flow_stock(&t, &r->wish->conditions) + r->ways->prepare, sotto_flow_infer(&t, r->flow, r->ways->line), r->ways->slack};
    if (better(&choice, &r->best, r->wish->goal)) {
        r->best = choice;
        memcpy(r->option, r->ways->option, p->step_count * sizeof *r->option);
    }
    sotto_terms_free(&t);
    return SOTTO_OK;
}

static int try_sessions(trial *r)
{
    static const sotto_ot_kind kinds[] = {SOTTO_OT_IKNP,        SOTTO_OT_SOFTSPOKEN2, SOTTO_OT_SOFTSPOKEN3, SOTTO_OT_SOFTSPOKEN4, SOTTO_OT_SOFTSPOKEN5,
                                          SOTTO_OT_SOFTSPOKEN6, SOTTO_OT_SOFTSPOKEN7, SOTTO_OT_SOFTSPOKEN8, SOTTO_OT_FERRET};
    const sotto_wish *w = r->wish;
    int refused = SOTTO_OK;
    for (int sign = 0; sign < SOTTO_SIGN_PROVIDERS; sign++) {
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            if ((w->any_sign || sign == (int)w->sign) && (w->any_ot || kinds[i] == w->ot)) {
                const int status = try_session(r, (sotto_sign_provider)sign, kinds[i]);
                if (status != SOTTO_OK && status != SOTTO_ERR_PARAMS) {
                    return status;
                }
                refused = status != SOTTO_OK ? status : refused; /* a provider that cannot do these signs */
            }
        }
    }
    return r->best.prepare < INFINITY ? SOTTO_OK : refused != SOTTO_OK ? refused : sotto_fail(SOTTO_ERR_ARG, "no session to choose from");
}

/* On m, whose plans the caller puts back on failure. */
static int choose(sotto_model *m, sotto_choice *choice, const sotto_wish *wish, const sotto_program *p)
{
    const sotto_line line = sotto_line_of(&wish->conditions);
    sotto_network network = {0};
    options *o = NULL;
    ways w = {0};
    trial r = {.wish = wish, .network = &network, .ways = &w, .best = {.prepare = INFINITY, .infer = INFINITY}};
    int status = options_new(&o, p, m, &wish->conditions);
    if (status == SOTTO_OK) {
        status = ways_new(&w, p, o, &line);
    }
    r.flow = sotto_calloc(p->step_count + 1, sizeof *r.flow);
    r.option = sotto_calloc(p->step_count, sizeof *r.option);
    if (status == SOTTO_OK && (r.flow == NULL || r.option == NULL)) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for the choices of %zu steps", p->step_count);
    }
    if (status == SOTTO_OK) {
        set_plans(m, p, o, r.option); /* any: what is wanted are the units */
        status = sotto_network_new(&network, m);
    }
    if (status == SOTTO_OK) {
        status = try_sessions(&r);
    }
    if (status == SOTTO_OK) {
        set_plans(m, p, o, r.option);
        m->nodes[0].plan.sign = 1 + r.best.sign;
        m->nodes[0].plan.ot = r.best.ot;
        *choice = r.best;
    }
    sotto_free(r.flow);
    sotto_free(r.option);
    ways_free(&w);
    sotto_network_free(&network);
    options_free(o, p->step_count);
    return status;
}

int sotto_planner_choose(sotto_model *m, sotto_choice *choice, const sotto_wish *wish)
{
    sotto_program p;
    int status = sotto_program_new(&p, m);
    if (status != SOTTO_OK) {
        return status;
    }
    sotto_node_plan *before = sotto_calloc(m->node_count, sizeof *before);
    if (before == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a plan of %zu nodes", m->node_count);
    } else {
        for (size_t i = 0; i < m->node_count; i++) {
            before[i] = m->nodes[i].plan;
        }
        status = choose(m, choice, wish, &p);
        for (size_t i = 0; i < m->node_count && status != SOTTO_OK; i++) {
            m->nodes[i].plan = before[i];
        }
    }
    sotto_free(before);
    sotto_program_free(&p);
    return status;
}
