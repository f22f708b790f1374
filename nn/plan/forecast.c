#include "nn/plan/forecast.h"

#include <math.h>
#include <string.h>

#include "lib/bytes.h"
#include "lib/mem.h"
#include "nn/plan/forecast_internal.h"
#include "nn/secure/linear_internal.h"

#define LOG_FAILURE_MAX (-40.0)
#define SECURITY_MIN 128u

sotto_line sotto_line_of(const sotto_conditions *o)
{
    const sotto_costs *c = o->costs;
    const int loopback = o->bytes_per_second == 0.0;
    /* Loopback is as fast as its two ends, whose work is counted there. */
    return (sotto_line){.byte = loopback ? 0.0 : 1.0 / o->bytes_per_second,
                        .sent = c->sent,
                        .received = c->received,
                        .message = c->message,
                        .delay = (loopback ? c->round_trip : o->rtt + c->round_trip) / 2.0,
                        .window = c->window > 0.0 ? c->window : INFINITY,
                        .company = o->together && c->company > 1.0 ? c->company : 1.0};
}

/* ---- linear steps -------------------------------------------------------------------------------------------------------------- */

/* Rounds in which so many threads work through `count` items. */
static double rounds(size_t count, unsigned threads)
{
    return (double)((count + threads - 1) / threads);
}

/* Products of all answers. */
static double products(const sotto_linear_plan *p)
{
    double sum = 0.0;
    for (uint32_t block = 0; block < p->out_blocks; block++) {
        uint32_t count;
        (void)sotto_linear_first_block(p, block, &count);
        sum += count;
    }
    return sum * p->tiles_y * p->tiles_x;
}

static double apply_work(const sotto_conditions *o, const sotto_linear_plan *p)
{
    const sotto_linear_shape *s = &p->shape;
    const sotto_apply_kind kind = p->out_h * p->out_w == 1 ? SOTTO_APPLY_DENSE : s->kernel_h * s->kernel_w == 1 ? SOTTO_APPLY_POINT : SOTTO_APPLY_WINDOW;
    const double macs = (double)p->out_words * (s->in_c / s->groups) * s->kernel_h * s->kernel_w;
    return macs * o->costs->apply[kind] / o->threads;
}

sotto_flow sotto_flow_linear(const sotto_conditions *o, const sotto_he_cost *he, const sotto_linear_plan *p, size_t kept_bytes)
{
    const double *c = he->of;
    const double answers = (double)p->answers, wanted = (double)p->out_words / answers;
    const double product = c[SOTTO_HE_PRODUCT] + (kept_bytes == 0 ? c[SOTTO_HE_MADE] : 0.0);
    return (sotto_flow){
        .ask = rounds(p->requests, o->threads) * c[SOTTO_HE_REQUEST] + (double)p->in_words * o->costs->word,
        .answer = rounds(p->requests, o->threads) * c[SOTTO_HE_LOAD] + (double)p->out_words * (o->costs->draw + o->costs->word) +
                  rounds(p->answers, o->threads) * (c[SOTTO_HE_ANSWER] + wanted * c[SOTTO_HE_FLOOD] + products(p) / answers * product),
        .learn = rounds(p->answers, o->threads) * (c[SOTTO_HE_OPEN] + wanted * c[SOTTO_HE_WANTED]),
        .up = SOTTO_FRAME_HEADER_BYTES + (double)p->request_bytes,
        .down = SOTTO_FRAME_HEADER_BYTES + (double)p->answer_bytes,
        .offer = apply_work(o, p) + (double)p->out_words * o->costs->word,
    };
}

/* The costs of a node's set; where they were not measured, those of the one with as many primes, or the first, in the proportion of words. */
static sotto_he_cost he_cost(const sotto_costs *c, const sotto_node_plan *plan)
{
    const sotto_he_cost *near = NULL;
    for (size_t i = 0; i < c->he_count; i++) {
        const sotto_he_set *set = &c->he[i].set;
        if (set->n == plan->he_n && set->primes == plan->he_primes && memcmp(set->bits, plan->he_prime_bits, set->primes * sizeof *set->bits) == 0) {
            return c->he[i];
        }
        near = near == NULL || (near->set.primes != plan->he_primes && set->primes == plan->he_primes) ? &c->he[i] : near;
    }
    sotto_he_cost out = near == NULL ? (sotto_he_cost){0} : *near;
    for (size_t i = 0; near != NULL && i < SOTTO_HE_WORKS; i++) {
        out.of[i] *= (double)plan->he_n * plan->he_primes / ((double)near->set.n * near->set.primes);
    }
    return out;
}

/* ---- units --------------------------------------------------------------------------------------------------------------------- */

static double unit_work(const sotto_costs *c, sotto_sign_provider provider, unsigned decisions, unsigned u, sotto_work work)
{
    const sotto_unit_cost *by_u = c->unit[provider][decisions - 1];
    if (u <= SOTTO_COST_U_MAX) {
        return by_u[u].of[work];
    }
    const double last = by_u[SOTTO_COST_U_MAX].of[work];
    return last + (double)(u - SOTTO_COST_U_MAX) * (last - by_u[SOTTO_COST_U_MAX - 1].of[work]);
}

/* OTs of another kind, or number, than those that were measured with the units. With Ferret their receiver makes them not when it asks but from the answer. */
static void add_ots(double work[SOTTO_WORKS], const sotto_costs *c, sotto_ot_kind kind, double client, double measured_client, double server)
{
    const unsigned to = sotto_cost_ot(kind), from = sotto_cost_ot(SOTTO_COST_KIND);
    const sotto_work client_takes = kind == SOTTO_OT_FERRET ? SOTTO_WORK_CHOOSE : SOTTO_WORK_ASK;
    const sotto_work server_takes = kind == SOTTO_OT_FERRET ? SOTTO_WORK_READY : SOTTO_WORK_CORRECT;
    work[SOTTO_WORK_ASK] -= measured_client * c->ot_recv[from];
    work[client_takes] += client * c->ot_recv[to];
    work[SOTTO_WORK_CORRECT] += client * c->ot_send[to] - measured_client * c->ot_send[from] - server * c->ot_recv[from];
    work[server_takes] += server * c->ot_recv[to];
    work[SOTTO_WORK_CHOOSE] += server * (c->ot_send[to] - c->ot_send[from]);
}

static void section_work(double work[SOTTO_WORKS], const sotto_costs *c, const sotto_unit_section *s)
{
    const double count = (double)s->count, pixels = (double)s->pixels;
    double own[SOTTO_WORKS];
    for (size_t i = 0; i < SOTTO_WORKS; i++) {
        own[i] = s->decisions == 0 ? count * c->passed[s->widen > 0].of[i]
                                   : count * (unit_work(c, s->signs.provider, s->decisions, s->signs.u, (sotto_work)i) + (pixels - 1.0) * c->pixel.of[i]);
    }
    const double measured = s->decisions == 0 ? (double)s->client_ots : count * (pixels + s->decisions + s->signs.u - 1);
    add_ots(own, c, s->ot, (double)s->client_ots, measured, (double)s->server_ots);
    for (size_t i = 0; i < SOTTO_WORKS; i++) {
        work[i] += own[i] > 0.0 ? own[i] : 0.0;
    }
}

static void poly_work(double work[SOTTO_WORKS], const sotto_costs *c, const sotto_poly_plan *p)
{
    for (size_t i = 0; i < p->sections; i++) {
        const sotto_poly_section *s = &p->section[i];
        double own[SOTTO_WORKS];
        for (size_t k = 0; k < SOTTO_WORKS; k++) {
            own[k] = (double)s->client_ots * c->poly.of[k];
        }
        add_ots(own, c, p->ot, (double)s->client_ots, (double)s->client_ots, (double)s->server_ots);
        for (size_t k = 0; k < SOTTO_WORKS; k++) {
            work[k] += own[k] > 0.0 ? own[k] : 0.0;
        }
    }
}

static sotto_flow flow_unit(const sotto_terms *t, size_t at, const sotto_conditions *o)
{
    const sotto_step_info *s = &t->network->program.steps[at];
    const sotto_unit_plan *u = &t->units[at];
    const int poly = s->op == SOTTO_STEP_POLY;
    const sotto_unit_bytes *bytes = poly ? &t->polys[at].bytes : &u->bytes;
    const sotto_item_bytes framed = sotto_terms_step_bytes(t, at);
    double work[SOTTO_WORKS] = {0};
    if (poly) {
        poly_work(work, o->costs, &t->polys[at]);
    }
    for (size_t i = 0; i < u->section_count; i++) {
        section_work(work, o->costs, &u->sections[i]);
    }
    sotto_flow f = {.offer = work[SOTTO_WORK_OFFER], .reply = work[SOTTO_WORK_REPLY], .finish = work[SOTTO_WORK_FINISH],
                    .offer_bytes = (double)framed.infer_in, .reply_bytes = (double)framed.infer_out};
    if (framed.prepare_out > 0) {
        f.ask = work[SOTTO_WORK_ASK];
        f.answer = work[SOTTO_WORK_CORRECT];
        f.learn = work[SOTTO_WORK_CHOOSE];
        f.ready = work[SOTTO_WORK_READY];
        f.choice = SOTTO_FRAME_HEADER_BYTES + (double)bytes->choice;
        f.tables = bytes->table > 0 ? SOTTO_FRAME_HEADER_BYTES + (double)bytes->table : 0.0;
        f.up = (double)framed.prepare_out - f.choice;
        f.down = (double)framed.prepare_in - f.tables;
    } else { /* on the result of polynomials: both sides begin when the image is there */
        f.offer += work[SOTTO_WORK_CORRECT];
        f.reply += work[SOTTO_WORK_ASK] + work[SOTTO_WORK_CHOOSE];
    }
    return f;
}

static sotto_flow flow_label(const sotto_terms *t, const sotto_conditions *o)
{
    const sotto_label_plan *p = &t->label;
    const sotto_costs *c = o->costs;
    const double ots = (double)p->client_ots;
    double work[SOTTO_WORKS];
    if (!t->label_only) {
        return (sotto_flow){0};
    }
    for (size_t i = 0; i < SOTTO_WORKS; i++) {
        work[i] = ots * c->label[t->sign == SOTTO_SIGN_CIRCUIT3].of[i];
    }
    add_ots(work, c, t->ot, ots, ots, 0.0);
    return (sotto_flow){
        .ask = sotto_later(work[SOTTO_WORK_ASK], 0.0),
        .answer = sotto_later(work[SOTTO_WORK_CORRECT], 0.0),
        .learn = work[SOTTO_WORK_CHOOSE],
        .ready = work[SOTTO_WORK_READY],
        .up = SOTTO_FRAME_HEADER_BYTES + (double)p->bytes.matrix,
        .down = p->bytes.correction > 0 ? SOTTO_FRAME_HEADER_BYTES + (double)p->bytes.correction : 0.0,
        .choice = SOTTO_FRAME_HEADER_BYTES + (double)p->bytes.choice,
        .tables = SOTTO_FRAME_HEADER_BYTES + (double)p->bytes.table,
        .offer = work[SOTTO_WORK_OFFER],
        .reply = work[SOTTO_WORK_REPLY],
    };
}

sotto_flow sotto_flow_of(const sotto_terms *t, size_t at, const sotto_conditions *o)
{
    if (at == t->network->program.step_count) {
        return flow_label(t, o);
    }
    const sotto_step_info *s = &t->network->program.steps[at];
    const sotto_network_linear *linear = &t->network->linear[at];
    const double words = (double)s->words;
    sotto_flow f = {0};
    switch (s->op) {
    case SOTTO_STEP_LINEAR: {
        const sotto_he_cost he = he_cost(o->costs, &t->network->model.nodes[s->node].plan);
        f = sotto_flow_linear(o, &he, &linear->plan, sotto_linear_kept_bytes(&linear->plan, linear->params));
        f.mask = words * o->costs->word;
        return f;
    }
    case SOTTO_STEP_UNIT:
    case SOTTO_STEP_MAX:
    case SOTTO_STEP_POLY:
        f = flow_unit(t, at, o);
        break;
    case SOTTO_STEP_INPUT:
        break;
    case SOTTO_STEP_ADD:
    case SOTTO_STEP_CONCAT:
    case SOTTO_STEP_PAD:
    case SOTTO_STEP_SUM:
    case SOTTO_STEP_GATHER:
        f.learn = words * o->costs->word;
        break;
    }
    const int fresh = s->op == SOTTO_STEP_INPUT || s->op == SOTTO_STEP_UNIT || s->op == SOTTO_STEP_MAX;
    f.mask = words * (o->costs->word + (fresh ? o->costs->draw : 0.0));
    f.offer += words * o->costs->word;
    return f;
}

/* ---- time ---------------------------------------------------------------------------------------------------------------------- */

static void set_work(sotto_forecast_step *s, const sotto_flow *f, const sotto_line *l)
{
    s->client_prepare = f->mask + f->ask + f->learn + sotto_sending(l, f->up) + sotto_receiving(l, f->down) + sotto_sending(l, f->choice) + sotto_receiving(l, f->tables);
    s->server_prepare = f->answer + f->ready + sotto_receiving(l, f->up) + sotto_sending(l, f->down) + sotto_receiving(l, f->choice) + sotto_sending(l, f->tables);
    s->client_infer = f->reply + sotto_sending(l, f->reply_bytes) + sotto_receiving(l, f->offer_bytes);
    s->server_infer = f->offer + f->finish + sotto_sending(l, f->offer_bytes) + sotto_receiving(l, f->reply_bytes);
}

/* By how much either side's work on a prepare takes longer than alone. Who has less of it works all the time next to the other, who works on undisturbed afterwards: with w of
 * W seconds the other takes company w + (W - w). */
typedef struct slowness {
    double client, server;
} slowness;

static slowness slowness_of(const sotto_flow *flow, size_t count, const sotto_line *l)
{
    double client = 0.0, server = 0.0;
    for (size_t i = 0; i < count; i++) {
        sotto_forecast_step s;
        set_work(&s, &flow[i], l);
        client += s.client_prepare;
        server += s.server_prepare;
    }
    const double less = client < server ? client : server, more = l->company - 1.0;
    return (slowness){client > 0.0 ? 1.0 + more * less / client : 1.0, server > 0.0 ? 1.0 + more * less / server : 1.0};
}

/* The first two flights: when the client has asked, the server answered, and the lines are free. */
static sotto_clocks ask_all(sotto_flow *flow, size_t count, const sotto_line *l, const slowness *slow)
{
    double mask = 0.0, sent = 0.0, taken = 0.0;
    size_t oldest = 0; /* whose request is not known to be received */
    for (size_t i = 0; i < count; i++) {
        mask += flow[i].mask;
    }
    sotto_clocks c = sotto_clocks_start(l, mask * slow->client);
    for (size_t i = 0; i < count; i++) {
        sotto_flow *f = &flow[i];
        c.ask += (f->ask + sotto_sending(l, f->up)) * slow->client;
        f->received = f->arrives = 0.0;
        if (f->up > 0.0) {
            sent += f->up;
            for (; oldest < i && sent - taken > l->window; oldest++) { /* held up: the server has yet to read */
                taken += flow[oldest].up;
                c.ask = sotto_later(c.ask, flow[oldest].received);
            }
            c.up = sotto_later(c.up, c.ask) + f->up * l->byte;
            f->received = sotto_later(c.serve, c.up + l->delay) + sotto_receiving(l, f->up) * slow->server;
            c.serve = f->received + (f->answer + sotto_sending(l, f->down)) * slow->server;
            c.down = sotto_later(c.down, c.serve) + f->down * l->byte;
            f->arrives = f->down > 0.0 ? c.down + l->delay : 0.0;
        }
    }
    return c;
}

double sotto_flow_prepare(sotto_flow *flow, size_t count, const sotto_line *l)
{
    const slowness slow = slowness_of(flow, count, l);
    sotto_clocks c = ask_all(flow, count, l, &slow);
    double client = c.ask;
    for (size_t i = 0; i < count; i++) {
        client = sotto_later(client, flow[i].arrives) + (sotto_receiving(l, flow[i].down) + flow[i].learn) * slow.client;
    }
    for (size_t i = 0; i < count; i++) {
        const sotto_flow *f = &flow[i];
        if (f->choice > 0.0) {
            client += sotto_sending(l, f->choice) * slow.client;
            c.up = sotto_later(c.up, client) + f->choice * l->byte;
            c.serve = sotto_later(c.serve, c.up + l->delay) + (sotto_receiving(l, f->choice) + f->ready + sotto_sending(l, f->tables)) * slow.server;
            c.down = sotto_later(c.down, c.serve) + f->tables * l->byte;
            client += sotto_receiving(l, f->tables) * slow.client; /* all are read after all choices are sent; the sum is the same */
        }
    }
    c.down = sotto_later(c.down, c.serve) + SOTTO_SMALL_FRAME * l->byte;
    return sotto_later(client, c.down + l->delay);
}

double sotto_flow_stock(const sotto_terms *t, const sotto_conditions *o)
{
    const sotto_stock_cost s = sotto_terms_stock(t);
    const sotto_line l = sotto_line_of(o);
    const double a_byte = l.byte + l.sent + l.received;
    return (double)s.exchanges * 2.0 * l.delay + (double)(s.out + s.in) * a_byte + (double)s.trees * (o->costs->tree[0] + o->costs->tree[1]);
}

double sotto_flow_infer(const sotto_terms *t, const sotto_flow *flow, const sotto_line *l)
{
    const size_t steps = t->network->program.step_count;
    const sotto_step_info *last = &t->network->program.steps[steps - 1];
    const double input = SOTTO_SMALL_FRAME + (double)sotto_terms_input_bytes(t);
    const double output = SOTTO_FRAME_HEADER_BYTES + (double)(t->label_only ? t->label.bytes.offer : sotto_packed_bytes(last->words, last->l));
    double client = input * l->sent, up = client + input * l->byte, server = up + l->delay + input * l->received, down = 0.0;
    for (size_t i = 0; i < steps; i++) {
        const sotto_flow *f = &flow[i];
        server += f->offer + f->offer_bytes * l->sent;
        if (f->offer_bytes > 0.0) {
            down = sotto_later(down, server) + f->offer_bytes * l->byte;
            client = sotto_later(client, down + l->delay) + f->offer_bytes * l->received;
        }
        client += f->reply + f->reply_bytes * l->sent;
        if (f->reply_bytes > 0.0) {
            up = sotto_later(up, client) + f->reply_bytes * l->byte;
            server = sotto_later(server, up + l->delay) + f->reply_bytes * l->received;
        }
        server += f->finish;
    }
    down = sotto_later(down, server + flow[steps].offer + output * l->sent) + output * l->byte;
    return sotto_later(client, down + l->delay) + output * l->received + flow[steps].reply;
}

/* ---- correctness and memory ------------------------------------------------------------------------------------------------------ */

/* bfv/flood.c: with z = 2^9 times the room that rounding of the `a` part has, |r_a s| > z with probability at most 4 exp(-L) for L = 9 z^2 / n, where the bound holds
 * to L = 53. */
static double log_failure(const sotto_network_linear *linear, double coefficients)
{
    const double n = sotto_bfv_n(linear->params), tail = sqrt(n / 9.0 * log(0x1p42 * coefficients));
    const double z = linear->plan.answer.margin * (1 << SOTTO_ANSWER_A_EXTRA) + tail, most = fmin(9.0 * z * z / n, 53.0);
    return log2((double)linear->plan.out_words) + 2.0 - most / log(2.0);
}

/* What a prepared section keeps, in bytes: the shelves of nn/secure/unit_client.c and unit_server.c, and signs. */
static void section_memory(const sotto_unit_section *s, double *client, double *server)
{
    const double l = s->truncation.l_next, m = s->widen, decides = s->decisions > 0, clips = s->decisions == 2, u = s->signs.u, one = s->widen > 0;
    const double count = (double)s->count, pixels = (double)s->pixels, bits_of_label = 8.0 * sizeof(sotto_block);
    const int lookup = s->signs.provider == SOTTO_SIGN_LOOKUP;
    *client += count / 8.0 * (pixels * ((decides + 1.0) * l + 2.0 * m) + decides * (1.0 + u) + clips * (1.0 + l));
    *server += count / 8.0 * (pixels * ((decides + 1.0) * (l + m) + 2.0 * one) + decides + clips * (1.0 + l));
    *client += s->decisions == 0 ? 0.0 : lookup ? count * s->decisions / 8.0 : count * (u - 1.0) * bits_of_label / 8.0 + (double)s->bytes.table;
    *server += s->decisions == 0 ? 0.0 : lookup ? (double)s->signs.message_bytes : count * (u - 1.0) * bits_of_label / 8.0;
}

static void memory(sotto_forecast *f, const sotto_terms *t)
{
    const sotto_program *p = &t->network->program;
    double client = 0.0, server = 0.0;
    for (size_t i = 0; i < p->step_count; i++) {
        const sotto_step_info *s = &p->steps[i];
        client += 8.0 * (double)(s->words + (s->op == SOTTO_STEP_MAX ? s->words : 0));
        if (s->op == SOTTO_STEP_LINEAR) {
            server += 8.0 * (double)s->words;
            f->weights += sotto_linear_kept_bytes(&t->network->linear[i].plan, t->network->linear[i].params);
        }
        for (size_t k = 0; k < t->units[i].section_count; k++) {
            section_memory(&t->units[i].sections[k], &client, &server);
        }
    }
    f->client_item = (uint64_t)client;
    f->server_item = (uint64_t)server;
}

static int check_linear(sotto_forecast_step *out, const sotto_terms *t, size_t at)
{
    const sotto_network_linear *linear = &t->network->linear[at];
    const char *name = t->network->model.nodes[t->network->program.steps[at].node].name;
    out->log_failure = log_failure(linear, t->network->program.coefficients);
    out->security = sotto_bfv_security_bits(sotto_bfv_n(linear->params), sotto_rns_bits(sotto_bfv_rns(linear->params)));
    if (out->security < SECURITY_MIN) {
        return sotto_fail(SOTTO_ERR_PARAMS, "node %s: its HE set has less than %u bits of security", name, SECURITY_MIN);
    }
    if (!(out->log_failure <= LOG_FAILURE_MAX)) {
        return sotto_fail(SOTTO_ERR_PARAMS, "node %s: an output decrypts wrongly with a probability of up to 2^%.1f; at most 2^%.0f is allowed", name, out->log_failure,
                          LOG_FAILURE_MAX);
    }
    return SOTTO_OK;
}

int sotto_forecast_new(sotto_forecast *f, const sotto_terms *t, const sotto_conditions *o)
{
    const size_t steps = t->network->program.step_count;
    const sotto_line line = sotto_line_of(o);
    memset(f, 0, sizeof *f);
    f->steps = sotto_calloc(steps, sizeof *f->steps);
    sotto_flow *flow = sotto_calloc(steps + 1, sizeof *flow);
    int status = f->steps == NULL || flow == NULL ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for the forecast of %zu steps", steps) : SOTTO_OK;
    sotto_forecast_step label;
    double failure = 0.0;
    f->step_count = steps;
    f->security = UINT32_MAX;
    for (size_t i = 0; i < steps && status == SOTTO_OK; i++) {
        sotto_forecast_step *s = &f->steps[i];
        flow[i] = sotto_flow_of(t, i, o);
        s->bytes = sotto_terms_step_bytes(t, i);
        s->log_failure = -INFINITY;
        set_work(s, &flow[i], &line);
        f->client += s->client_prepare + s->client_infer;
        f->server += s->server_prepare + s->server_infer;
        if (t->network->program.steps[i].op == SOTTO_STEP_LINEAR) {
            status = check_linear(s, t, i);
            failure += exp2(s->log_failure);
            f->security = s->security < f->security ? s->security : f->security;
        }
    }
    if (status == SOTTO_OK) {
        f->bytes = sotto_terms_bytes(t);
        f->log_failure = log2(failure);
        flow[steps] = sotto_flow_of(t, steps, o);
        set_work(&label, &flow[steps], &line);
        f->client += label.client_prepare + label.client_infer;
        f->server += label.server_prepare + label.server_infer;
        f->client += (double)sotto_terms_stock(t).trees * o->costs->tree[0];
        f->server += (double)sotto_terms_stock(t).trees * o->costs->tree[1];
        f->prepare = sotto_flow_stock(t, o) + sotto_flow_prepare(flow, steps + 1, &line);
        f->infer = sotto_flow_infer(t, flow, &line);
        memory(f, t);
        if (!(f->log_failure <= LOG_FAILURE_MAX)) {
            status = sotto_fail(SOTTO_ERR_PARAMS, "an output of any layer decrypts wrongly with a probability of up to 2^%.1f; at most 2^%.0f is allowed", f->log_failure,
                                LOG_FAILURE_MAX);
        }
    }
    sotto_free(flow);
    if (status != SOTTO_OK) {
        sotto_forecast_free(f);
    }
    return status;
}

void sotto_forecast_free(sotto_forecast *f)
{
    sotto_free(f->steps);
    memset(f, 0, sizeof *f);
}
