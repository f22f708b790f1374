#include <string.h>

#include "lib/mem.h"
#include "nn/train/tape_internal.h"

/* ---- units: gates in the order of the values --------------------------------------------------------------------------------------- */

static int is_patch(sotto_unit u)
{
    return u.kind == SOTTO_UNIT_RELU && (u.block_h > 1 || u.block_w > 1);
}

static void gates_fill(vertex *v, const sotto_node *n)
{
    const size_t area = (size_t)v->shape.h * v->shape.w;
    for (uint32_t c = 0; c < v->shape.c; c++) {
        const sotto_unit u = n->units[c];
        for (size_t p = 0; p < area; p++) {
            const int linear = u.kind == SOTTO_UNIT_IDENTITY || !sotto_node_masked_in(n, c * area + p);
            v->act.on[p * v->shape.c + c] = linear || (u.kind == SOTTO_UNIT_RELU && !is_patch(u)) ? 1.0f : 0.0f;
            v->act.off[p * v->shape.c + c] = linear ? 1.0f : 0.0f;
        }
    }
}

/* Neighbours with patches of the same size are one run. */
static void runs_fill(vertex *v, const sotto_node *n)
{
    act_run *runs = v->act.runs;
    for (uint32_t c = 0; c < v->shape.c; c++) {
        const sotto_unit u = n->units[c];
        act_run *last = v->act.run_count > 0 ? &runs[v->act.run_count - 1] : NULL;
        if (!is_patch(u)) {
            continue;
        }
        if (last != NULL && last->last == c && last->unit.block_h == u.block_h && last->unit.block_w == u.block_w) {
            last->last++;
        } else {
            runs[v->act.run_count++] = (act_run){c, c + 1, u};
        }
    }
}

static int act_new(vertex *v, const sotto_node *n, int polynomials)
{
    act_state *a = &v->act;
    a->on = sotto_calloc(v->words, sizeof *a->on);
    a->off = sotto_calloc(v->words, sizeof *a->off);
    a->runs = sotto_calloc(v->shape.c, sizeof *a->runs);
    a->coefficients = polynomials ? sotto_calloc(SOTTO_POLY_TERMS * v->period, sizeof *a->coefficients) : NULL;
    if (a->on == NULL || a->off == NULL || a->runs == NULL || (polynomials && a->coefficients == NULL)) {
        return 0;
    }
    gates_fill(v, n);
    runs_fill(v, n);
    return 1;
}

static int norm_new(const sotto_tape *t, vertex *v)
{
    norm_state *s = &v->norm;
    s->factor = sotto_calloc(v->period, sizeof *s->factor);
    s->offset = sotto_calloc(v->period, sizeof *s->offset);
    s->mean = sotto_calloc(v->period, sizeof *s->mean);
    s->back = sotto_calloc(4 * v->period, sizeof *s->back);
    s->inv = sotto_calloc(v->shape.c, sizeof *s->inv);
    s->sums = sotto_calloc(t->shards * 2 * v->shape.c, sizeof *s->sums);
    return s->factor != NULL && s->offset != NULL && s->mean != NULL && s->back != NULL && s->inv != NULL && s->sums != NULL;
}

/* ---- gradients -------------------------------------------------------------------------------------------------------------------------- */

/* Of what is trained. A batch norm's come from its sums and need no memory per shard. */
static int gradients_new(const sotto_tape *t, vertex *v, const sotto_node *n)
{
    const int trained = n->op == SOTTO_OP_CONV || n->op == SOTTO_OP_DENSE || n->op == SOTTO_OP_BATCHNORM || n->op == SOTTO_OP_ACT;
    int ok = 1;
    for (unsigned w = 0; w < 2 && t->backward && trained; w++) {
        const size_t count = sotto_tensor_count(t->m, n, w);
        if (count == 0) {
            continue;
        }
        v->gradient[w] = sotto_calloc(count, sizeof(float));
        ok &= v->gradient[w] != NULL;
        if (n->op != SOTTO_OP_BATCHNORM) {
            v->shard_words[w] = n->op == SOTTO_OP_CONV && w == 0 ? sotto_conv_gradient_words(v->conv) : count;
            v->shard[w] = sotto_calloc(t->shards * v->shard_words[w], sizeof(float));
            ok &= v->shard[w] != NULL;
        }
    }
    return ok;
}

int sotto_tape_vertex_new(sotto_tape *t, vertex *v)
{
    static const sotto_node none = {.name = "flatten"};
    const sotto_node *n = v->node == NO_VERTEX ? &none : &t->m->nodes[v->node];
    size_t work = 2 * v->period; /* sums of a batch norm, of a bias; maxima */
    int ok = 1;
    if (v->op == SOTTO_OP_CONV) {
        const int status = sotto_conv_new(&v->conv, n, v->from, sotto_cpu_tier());
        if (status != SOTTO_OK) {
            return status;
        }
        work = sotto_conv_scratch(v->conv) > work ? sotto_conv_scratch(v->conv) : work;
    } else if (v->op == SOTTO_OP_BATCHNORM) {
        ok = norm_new(t, v);
    } else if (v->op == SOTTO_OP_CLIP) {
        ok = (v->act.coefficients = sotto_calloc(v->period, sizeof(float))) != NULL;
    } else if (v->op == SOTTO_OP_ACT) {
        ok = act_new(v, n, sotto_tensor_count(t->m, n, 0) > 0);
        work = SOTTO_POLY_TERMS * v->period + v->words;
    }
    t->work_words = work > t->work_words ? work : t->work_words;
    if (ok && v->node != NO_VERTEX) {
        ok = gradients_new(t, v, n);
    }
    return ok ? SOTTO_OK : sotto_fail(SOTTO_ERR_MEMORY, "no memory to train node %s with batches of %zu", n->name, t->batch);
}

void sotto_tape_vertex_free(vertex *v)
{
    sotto_conv_free(v->conv);
    sotto_free(v->norm.factor);
    sotto_free(v->norm.offset);
    sotto_free(v->norm.mean);
    sotto_free(v->norm.back);
    sotto_free(v->norm.inv);
    sotto_free(v->norm.sums);
    sotto_free(v->act.on);
    sotto_free(v->act.off);
    sotto_free(v->act.coefficients);
    sotto_free(v->act.runs);
    for (unsigned w = 0; w < 2; w++) {
        sotto_free(v->gradient[w]);
        sotto_free(v->shard[w]);
    }
}

/* ---- before and after the passes over images -------------------------------------------------------------------------------------------- */

void sotto_tape_vertex_prepare(const sotto_tape *t, vertex *v)
{
    const sotto_node *n = v->node == NO_VERTEX ? NULL : &t->m->nodes[v->node];
    const size_t channels = v->shape.c;
    if (v->op == SOTTO_OP_CONV) {
        sotto_conv_pack(v->conv, n->tensor[0]);
    } else if (v->op == SOTTO_OP_BATCHNORM) {
        memset(v->norm.sums, 0, t->shards * 2 * channels * sizeof *v->norm.sums);
        for (size_t i = 0; i < v->period; i++) {
            v->norm.mean[i] = n->tensor[2][i % channels];
        }
    } else if (v->op == SOTTO_OP_CLIP) {
        for (size_t i = 0; i < v->period; i++) {
            v->act.coefficients[i] = n->tensor[0][i % channels];
        }
    } else if (v->act.coefficients != NULL) {
        for (size_t i = 0; i < SOTTO_POLY_TERMS * v->period; i++) {
            const size_t channel = i % v->period % channels, term = i / v->period;
            const unsigned kind = n->units[channel].kind;
            const int counts = kind == SOTTO_UNIT_CUBIC || (kind == SOTTO_UNIT_SQUARE && term < 3);
            v->act.coefficients[i] = counts ? n->tensor[0][channel * SOTTO_POLY_TERMS + term] : 0.0f;
        }
    }
}

/* Coefficients that do not count have no gradient either. */
static void mask_terms(const sotto_node *n, float *gradient, size_t channels)
{
    for (size_t c = 0; c < channels; c++) {
        const unsigned kind = n->units[c].kind;
        const size_t terms = kind == SOTTO_UNIT_CUBIC ? 4 : kind == SOTTO_UNIT_SQUARE ? 3 : 0;
        for (size_t k = terms; k < SOTTO_POLY_TERMS; k++) {
            gradient[c * SOTTO_POLY_TERMS + k] = 0.0f;
        }
    }
}

void sotto_tape_sum_shards(const sotto_tape *t, vertex *v)
{
    for (unsigned w = 0; w < 2; w++) {
        const size_t words = v->shard_words[w];
        for (size_t s = 1; s < t->shards && v->shard[w] != NULL; s++) {
            t->loops->accumulate(v->shard[w], v->shard[w] + s * words, 1.0f, words);
        }
        if (v->shard[w] != NULL && v->op == SOTTO_OP_CONV && w == 0) {
            sotto_conv_unpack(v->conv, v->gradient[w], v->shard[w]);
        } else if (v->shard[w] != NULL) {
            memcpy(v->gradient[w], v->shard[w], words * sizeof(float));
        }
    }
    if (v->op == SOTTO_OP_ACT && v->gradient[0] != NULL) {
        mask_terms(&t->m->nodes[v->node], v->gradient[0], v->shape.c);
    }
}
