#include <string.h>

#include "lib/mem.h"
#include "nn/train/tape_internal.h"

#define NOWHERE SIZE_MAX
#define CACHE_LINE 16 /* floats */

/* From the first to the last use of some memory. */
typedef struct life {
    size_t from, to;   /* steps */
    size_t start, end; /* levels: forward 0 to n - 1, backward the highest first, n to 2 n - 1 */
    int whole_batch;   /* used where steps go over all images one after another */
    int used;
} life;

/* What is planned for a vertex. */
typedef struct fate {
    int needed, kept;     /* value: by the backward pass; in the batch's memory */
    int again;            /* computed again in the backward pass */
    size_t gradient, norm; /* positions of its steps of these kinds; NOWHERE */
    int given;            /* its gradient has had a first share */
    uint32_t root, next;  /* vertices whose gradients are in the same memory: the first of them, the next of them */
    life value[2], grad, temp[2];
} fate;

typedef struct planner {
    sotto_tape *t;
    fate *fates;
    uint32_t *order; /* vertices by level */
    uint32_t *chain; /* per node: the batch norm whose chain ends here; NO_VERTEX */
    uint8_t *absorbed;
} planner;

/* ---- vertices ------------------------------------------------------------------------------------------------------------------------ */

/* What is repeated per channel: long enough for a vector loop to be worth its start, and in whole vectors where channels allow it. */
static size_t period_of(size_t channels)
{
    size_t period = channels;
    while (period % CACHE_LINE != 0 && period < 256) {
        period += channels;
    }
    return period * ((255 + period) / period);
}

static uint32_t append(sotto_tape *t, sotto_op op, uint32_t node, uint32_t first, uint32_t second, sotto_shape shape)
{
    vertex *v = &t->vertices[t->vertex_count];
    *v = (vertex){.op = op, .node = node, .in = {first, second}, .shape = shape, .words = sotto_shape_words(shape)};
    v->from = first == NO_VERTEX ? shape : t->vertices[first].shape;
    v->stride = (v->words + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    v->period = period_of(shape.c);
    return (uint32_t)t->vertex_count++;
}

/* The only reader of a node; NO_VERTEX: none or several. */
static uint32_t only_reader(const sotto_model *m, uint32_t node)
{
    uint32_t found = NO_VERTEX;
    for (uint32_t i = node + 1; i < m->node_count; i++) {
        for (unsigned k = 0; k < sotto_op_inputs(m->nodes[i].op); k++) {
            if (m->nodes[i].input[k] == node) {
                if (found != NO_VERTEX) {
                    return NO_VERTEX;
                }
                found = i;
            }
        }
    }
    return found;
}

/* What a batch norm's value is for alone becomes part of its vertex: an addition, then a relu. */
static void find_chain(planner *p, uint32_t norm)
{
    const sotto_model *m = p->t->m;
    uint32_t tail = norm, reader = only_reader(m, tail);
    if (reader != NO_VERTEX && m->nodes[reader].op == SOTTO_OP_ADD && p->chain[reader] == NO_VERTEX && !p->absorbed[reader]) {
        p->absorbed[tail] = 1;
        tail = reader;
        reader = only_reader(m, tail);
    }
    if (reader != NO_VERTEX && m->nodes[reader].op == SOTTO_OP_RELU) {
        p->absorbed[tail] = 1;
        tail = reader;
    }
    p->chain[tail] = norm;
}

static void append_chain(planner *p, uint32_t tail)
{
    sotto_tape *t = p->t;
    const sotto_model *m = t->m;
    const uint32_t norm = p->chain[tail];
    const sotto_node *end = &m->nodes[tail], *add = end;
    if (end->op == SOTTO_OP_RELU) {
        add = &m->nodes[end->input[0]];
    }
    uint32_t skip = NO_VERTEX;
    if (add->op == SOTTO_OP_ADD) {
        skip = t->vertex_of[add->input[0] == norm ? add->input[1] : add->input[0]];
    }
    const uint32_t v = append(t, SOTTO_OP_BATCHNORM, norm, t->vertex_of[m->nodes[norm].input[0]], skip, end->shape);
    t->vertices[v].relu = end->op == SOTTO_OP_RELU;
    t->vertex_of[tail] = t->vertex_of[norm] = v;
}

static int is_image(sotto_shape s)
{
    return s.c > 1 && (size_t)s.h * s.w > 1;
}

static void append_node(planner *p, uint32_t i)
{
    sotto_tape *t = p->t;
    const sotto_node *n = &t->m->nodes[i];
    uint32_t in[2] = {NO_VERTEX, NO_VERTEX};
    for (unsigned k = 0; k < sotto_op_inputs(n->op); k++) {
        in[k] = t->vertex_of[n->input[k]];
    }
    if (n->op == SOTTO_OP_DENSE && is_image(t->vertices[in[0]].shape)) {
        const uint32_t words = (uint32_t)t->vertices[in[0]].words;
        in[0] = append(t, SOTTO_OP_FLATTEN, NO_VERTEX, in[0], NO_VERTEX, (sotto_shape){words, 1, 1});
    }
    t->vertex_of[i] = append(t, n->op, i, in[0], in[1], n->shape);
}

/* The last vertex brings the model's last value into the order of the caller. */
static void append_all(planner *p)
{
    sotto_tape *t = p->t;
    const sotto_model *m = t->m;
    for (uint32_t i = 0; i < m->node_count; i++) {
        if (m->nodes[i].op == SOTTO_OP_BATCHNORM) {
            find_chain(p, i);
        }
    }
    for (uint32_t i = 0; i < m->node_count; i++) {
        if (p->chain[i] != NO_VERTEX) {
            append_chain(p, i);
        } else if (!p->absorbed[i]) {
            append_node(p, i);
        }
    }
    const uint32_t last = t->vertex_of[m->node_count - 1];
    append(t, SOTTO_OP_FLATTEN, NO_VERTEX, last, NO_VERTEX, (sotto_shape){(uint32_t)t->vertices[last].words, 1, 1});
}

/* ---- levels -------------------------------------------------------------------------------------------------------------------------- */

static uint32_t level_of(const sotto_tape *t, const vertex *v)
{
    uint32_t least = 0;
    for (unsigned k = 0; k < 2; k++) {
        if (v->in[k] != NO_VERTEX && t->vertices[v->in[k]].level > least) {
            least = t->vertices[v->in[k]].level;
        }
    }
    if (v->op == SOTTO_OP_DENSE) {
        return (least + 1) | 1;
    }
    const uint32_t even = (least + 1) & ~1u, behind = v->op == SOTTO_OP_BATCHNORM ? (t->vertices[v->in[0]].level + 2) & ~1u : 0;
    return even > behind ? even : behind;
}

static void find_levels(planner *p)
{
    sotto_tape *t = p->t;
    size_t done = 0;
    for (size_t i = 0; i < t->vertex_count; i++) {
        vertex *v = &t->vertices[i];
        v->level = level_of(t, v);
        t->level_count = v->level >= t->level_count ? v->level + 1 : t->level_count;
    }
    for (size_t l = 0; l < t->level_count; l++) {
        for (size_t i = 0; i < t->vertex_count; i++) {
            if (t->vertices[i].level == l) {
                p->order[done++] = (uint32_t)i;
            }
        }
    }
}

/* ---- what the backward pass wants ---------------------------------------------------------------------------------------------------- */

static int needs_input(const vertex *v)
{
    return v->op == SOTTO_OP_CONV || v->op == SOTTO_OP_DENSE || v->op == SOTTO_OP_BATCHNORM || v->op == SOTTO_OP_ACT || v->op == SOTTO_OP_MAXPOOL;
}

static int needs_own(const vertex *v)
{
    return v->op == SOTTO_OP_RELU || v->op == SOTTO_OP_CLIP || (v->op == SOTTO_OP_BATCHNORM && v->relu);
}

/* Cheaper to compute than to keep. */
static int is_cheap(const vertex *v)
{
    switch (v->op) {
    case SOTTO_OP_INPUT:
    case SOTTO_OP_BATCHNORM:
    case SOTTO_OP_RELU:
    case SOTTO_OP_CLIP:
    case SOTTO_OP_IDENTITY:
    case SOTTO_OP_ACT:
    case SOTTO_OP_CONCAT:
    case SOTTO_OP_PAD:
    case SOTTO_OP_FLATTEN:
        return 1;
    default:
        return 0;
    }
}

int sotto_tape_passes(const vertex *v, unsigned k)
{
    return v->op == SOTTO_OP_ADD || v->op == SOTTO_OP_IDENTITY || (v->op == SOTTO_OP_BATCHNORM && k == 1);
}

static int has_weights(const sotto_tape *t, const vertex *v)
{
    return v->op == SOTTO_OP_CONV || v->op == SOTTO_OP_DENSE || v->op == SOTTO_OP_BATCHNORM ||
           (v->op == SOTTO_OP_ACT && sotto_tensor_count(t->m, &t->m->nodes[v->node], 0) > 0);
}

static void find_wants(planner *p)
{
    sotto_tape *t = p->t;
    for (size_t i = 0; i < t->vertex_count; i++) {
        vertex *v = &t->vertices[i];
        v->wants = has_weights(t, v);
        for (unsigned k = 0; k < 2; k++) {
            v->wants |= v->in[k] != NO_VERTEX && t->vertices[v->in[k]].wants;
        }
    }
    /* What does not lead to the output has no gradient. */
    p->fates[t->vertex_count - 1].given = 1;
    for (size_t i = t->vertex_count; i-- > 0;) {
        vertex *v = &t->vertices[i];
        for (unsigned k = 0; k < 2 && p->fates[i].given; k++) {
            if (v->in[k] != NO_VERTEX) {
                p->fates[v->in[k]].given = 1;
            }
        }
        v->wants &= p->fates[i].given && t->backward;
        p->fates[i].given = 0;
    }
}

/* A value is kept when another level reads it, or when the backward pass needs it and it is not cheap. */
static void find_kept(planner *p)
{
    sotto_tape *t = p->t;
    p->fates[t->vertex_count - 1].kept = 1;
    for (size_t i = t->vertex_count; i-- > 0;) {
        const vertex *v = &t->vertices[i];
        fate *f = &p->fates[i];
        f->kept |= v->level % 2 == 1;
        f->needed |= v->wants && needs_own(v);
        f->again = f->needed && !f->kept && is_cheap(v);
        f->kept |= f->needed && !f->again;
        for (unsigned k = 0; k < 2; k++) {
            if (v->in[k] != NO_VERTEX) {
                fate *in = &p->fates[v->in[k]];
                in->kept |= t->vertices[v->in[k]].level != v->level;
                in->needed |= f->again || (v->wants && k == 0 && needs_input(v));
            }
        }
    }
}

/* ---- steps --------------------------------------------------------------------------------------------------------------------------- */

static size_t emit(sotto_tape *t, step_kind kind, uint32_t v)
{
    t->steps[t->step_count] = (step){kind, v};
    return t->step_count++;
}

static void emit_forward(planner *p)
{
    sotto_tape *t = p->t;
    size_t at = 0;
    for (size_t l = 0; l < t->level_count; l++) {
        t->levels[l].first[0] = t->step_count;
        for (; at < t->vertex_count && t->vertices[p->order[at]].level == l; at++) {
            emit(t, STEP_VALUE, p->order[at]);
            for (uint32_t u = p->order[at] + 1; u < t->vertex_count; u++) {
                if (t->vertices[u].op == SOTTO_OP_BATCHNORM && t->vertices[u].in[0] == p->order[at]) {
                    emit(t, STEP_MOMENTS, u);
                }
            }
        }
        t->levels[l].last[0] = t->step_count;
    }
}

/* A value that is not kept is computed where it is first needed. */
static void emit_again(planner *p, uint32_t i)
{
    const vertex *v = &p->t->vertices[i];
    fate *f = &p->fates[i];
    if (f->again) {
        f->again = 0;
        for (unsigned k = 0; k < 2; k++) {
            if (v->in[k] != NO_VERTEX) {
                emit_again(p, v->in[k]);
            }
        }
        emit(p->t, STEP_VALUE, i);
    }
}

static void emit_gradients(planner *p, uint32_t i)
{
    sotto_tape *t = p->t;
    const vertex *v = &t->vertices[i];
    for (uint32_t u = i + 1; u < t->vertex_count; u++) {
        if (t->vertices[u].op == SOTTO_OP_BATCHNORM && t->vertices[u].in[0] == i && t->vertices[u].wants) {
            p->fates[u].norm = emit(t, STEP_NORM, u);
        }
    }
    if (needs_own(v)) {
        emit_again(p, i);
    }
    if (needs_input(v)) {
        emit_again(p, v->in[0]);
    }
    p->fates[i].gradient = emit(t, STEP_GRADIENT, i);
}

static void emit_backward(planner *p)
{
    sotto_tape *t = p->t;
    size_t at = t->vertex_count;
    for (size_t l = t->level_count; l-- > 0;) {
        t->levels[l].first[1] = t->step_count;
        for (; at > 0 && t->vertices[p->order[at - 1]].level == l; at--) {
            if (t->vertices[p->order[at - 1]].wants) {
                emit_gradients(p, p->order[at - 1]);
            }
        }
        t->levels[l].last[1] = t->step_count;
    }
}

/* ---- gradients that share memory ------------------------------------------------------------------------------------------------------- */

/* The last step that reads the gradient of vertex i. */
static size_t last_read(const planner *p, uint32_t i)
{
    const fate *f = &p->fates[i];
    return f->norm != NOWHERE ? f->norm : f->gradient;
}

/* The first step after `at` that writes the gradient of vertex i: a share of another reader, or its own mask. */
static size_t next_write(const planner *p, uint32_t i, size_t at)
{
    const sotto_tape *t = p->t;
    size_t next = NOWHERE;
    if (t->vertices[i].op == SOTTO_OP_BATCHNORM && t->vertices[i].relu && p->fates[i].gradient > at) {
        next = p->fates[i].gradient;
    }
    for (uint32_t u = i + 1; u < t->vertex_count; u++) {
        const vertex *v = &t->vertices[u];
        for (unsigned k = 0; k < 2; k++) {
            const size_t when = v->op == SOTTO_OP_BATCHNORM && k == 0 ? p->fates[u].norm : p->fates[u].gradient;
            if (v->in[k] == i && v->wants && when > at && when < next) {
                next = when;
            }
        }
    }
    return next;
}

/* May the gradient of input k be that of the value from now on? When neither is written before the other has been read for the last time. */
static int may_alias(const planner *p, uint32_t i, unsigned k, size_t at)
{
    const vertex *v = &p->t->vertices[i];
    const uint32_t in = v->in[k];
    if (!sotto_tape_passes(v, k) || v->in[0] == v->in[1]) {
        return 0;
    }
    const size_t written = next_write(p, in, at), read = last_read(p, in);
    for (uint32_t m = p->fates[i].root; m != NO_VERTEX; m = p->fates[m].next) {
        if (last_read(p, m) >= at && (written <= last_read(p, m) || next_write(p, m, at) <= read)) {
            return 0;
        }
    }
    return 1;
}

/* ---- lives --------------------------------------------------------------------------------------------------------------------------- */

typedef struct moment {
    size_t step, time;
    int odd; /* of an odd level */
} moment;

static void touch(life *l, moment now)
{
    if (!l->used) {
        *l = (life){.from = now.step, .start = now.time, .used = 1};
    }
    l->to = now.step;
    l->end = now.time;
    l->whole_batch |= now.odd;
}

/* direction: 0 forward, 1 backward. A kept value has one life. */
static void touch_value(planner *p, uint32_t i, int direction, moment now)
{
    fate *f = &p->fates[i];
    touch(&f->value[f->kept ? 0 : direction], now);
    f->value[0].whole_batch |= f->kept;
}

static void touch_gradient(planner *p, uint32_t i, moment now)
{
    touch(&p->fates[p->fates[i].root].grad, now);
}

static void join(planner *p, uint32_t root, uint32_t i)
{
    p->fates[i].root = root;
    p->fates[i].next = p->fates[root].next;
    p->fates[root].next = i;
}

/* Input k of vertex i gets its share now. */
static void give(planner *p, uint32_t i, unsigned k, moment now)
{
    vertex *v = &p->t->vertices[i];
    const uint32_t in = v->in[k];
    if (in == NO_VERTEX || !p->t->vertices[in].wants) {
        return;
    }
    if (p->fates[in].given) {
        v->share[k] = SHARE_MORE;
        if (!sotto_tape_passes(v, k)) {
            touch(&p->fates[i].temp[k], now);
        }
    } else if (may_alias(p, i, k, now.step)) {
        v->share[k] = SHARE_ALIAS;
        join(p, p->fates[i].root, in);
    } else {
        v->share[k] = SHARE_FIRST;
    }
    p->fates[in].given = 1;
    touch_gradient(p, in, now);
}

static void live_step(planner *p, const step *s, int direction, moment now)
{
    const vertex *v = &p->t->vertices[s->vertex];
    const int reads = s->kind != STEP_GRADIENT || needs_input(v);
    for (unsigned k = 0; k < 2; k++) {
        if (v->in[k] != NO_VERTEX && reads && (k == 0 || s->kind == STEP_VALUE)) {
            touch_value(p, v->in[k], direction, now);
        }
    }
    if (s->kind == STEP_VALUE || (s->kind == STEP_GRADIENT && needs_own(v))) {
        touch_value(p, s->vertex, direction, now);
    }
    if (s->kind == STEP_GRADIENT || s->kind == STEP_NORM) {
        touch_gradient(p, s->vertex, now);
    }
    if (s->kind == STEP_GRADIENT && v->op != SOTTO_OP_BATCHNORM) {
        give(p, s->vertex, 0, now);
    }
    if (s->kind == STEP_GRADIENT) {
        give(p, s->vertex, 1, now);
    }
    if (s->kind == STEP_NORM) {
        give(p, s->vertex, 0, now);
    }
}

static void live_level(planner *p, size_t l, int direction)
{
    sotto_tape *t = p->t;
    const size_t time = direction == 0 ? l : 2 * t->level_count - 1 - l;
    for (size_t i = t->levels[l].first[direction]; i < t->levels[l].last[direction]; i++) {
        live_step(p, &t->steps[i], direction, (moment){i, time, l % 2 == 1});
    }
}

static void live_all(planner *p)
{
    sotto_tape *t = p->t;
    const uint32_t out = (uint32_t)t->vertex_count - 1;
    for (size_t l = 0; l < t->level_count; l++) {
        live_level(p, l, 0);
    }
    touch_value(p, out, 0, (moment){t->step_count, t->level_count - 1, 1}); /* until the forward pass is over */
    if (t->backward) {
        /* The caller's gradient is there before the first step. */
        touch_gradient(p, out, (moment){t->levels[t->level_count - 1].first[1], t->level_count, 1});
        p->fates[out].given = 1;
        for (size_t l = t->level_count; l-- > 0;) {
            live_level(p, l, 1);
        }
    }
}

/* ---- memory -------------------------------------------------------------------------------------------------------------------------- */

typedef struct item {
    size_t offset, size, from, to;
} item;

/* Items by offset; the first gap that is free for the whole life. */
typedef struct shelf {
    item *items;
    size_t count, words;
} shelf;

static size_t put(shelf *s, size_t size, size_t from, size_t to)
{
    size_t offset = 0, at = s->count;
    for (size_t i = 0; i < s->count; i++) {
        const item *x = &s->items[i];
        const int meets = x->from <= to && from <= x->to && x->offset < offset + size && offset < x->offset + x->size;
        offset = meets ? x->offset + x->size : offset;
    }
    while (at > 0 && s->items[at - 1].offset > offset) {
        s->items[at] = s->items[at - 1];
        at--;
    }
    s->items[at] = (item){offset, size, from, to};
    s->count++;
    s->words = s->words > offset + size ? s->words : offset + size;
    return offset;
}

static void settle(place *out, const life *l, size_t stride, shelf *batch, shelf *scratch)
{
    if (!l->used) {
        return;
    }
    const int whole = l->whole_batch || l->start != l->end;
    out->kind = whole ? PLACE_BATCH : PLACE_SCRATCH;
    out->stride = stride;
    out->offset = whole ? put(batch, stride, l->start, l->end) : put(scratch, stride, l->from, l->to);
}

static int settle_all(planner *p)
{
    sotto_tape *t = p->t;
    shelf batch = {0}, scratch = {0};
    batch.items = sotto_calloc(5 * t->vertex_count, sizeof(item));
    scratch.items = sotto_calloc(5 * t->vertex_count, sizeof(item));
    const int ok = batch.items != NULL && scratch.items != NULL;
    for (size_t i = 0; i < t->vertex_count && ok; i++) {
        vertex *v = &t->vertices[i];
        const fate *f = &p->fates[i];
        for (unsigned k = 0; k < 2; k++) {
            settle(&v->value[k], &f->value[k], v->stride, &batch, &scratch);
            if (v->in[k] != NO_VERTEX) {
                settle(&v->temp[k], &f->temp[k], t->vertices[v->in[k]].stride, &batch, &scratch);
            }
        }
        v->value[1] = f->kept ? v->value[0] : v->value[1];
        settle(&v->grad, &f->grad, v->stride, &batch, &scratch);
    }
    for (size_t i = 0; i < t->vertex_count; i++) {
        t->vertices[i].grad = t->vertices[p->fates[i].root].grad;
    }
    t->memory_words = batch.words;
    t->scratch_words = scratch.words;
    sotto_free(batch.items);
    sotto_free(scratch.items);
    return ok;
}

/* A batch norm takes the mean away, and with it whatever a bias adds. */
static void find_biases(sotto_tape *t)
{
    for (size_t i = 0; i < t->vertex_count; i++) {
        const vertex *v = &t->vertices[i];
        for (unsigned k = 0; k < 2; k++) {
            if (v->in[k] != NO_VERTEX && (v->op != SOTTO_OP_BATCHNORM || k == 1)) {
                t->vertices[v->in[k]].bias = 1;
            }
        }
    }
}

int sotto_tape_plan(sotto_tape *t)
{
    const size_t nodes = t->m->node_count, room = 2 * nodes + 1;
    planner p = {.t = t};
    t->vertices = sotto_calloc(room, sizeof *t->vertices);
    t->vertex_of = sotto_calloc(nodes, sizeof *t->vertex_of);
    t->levels = sotto_calloc(2 * room, sizeof *t->levels);
    t->steps = sotto_calloc(5 * room, sizeof *t->steps);
    p.fates = sotto_calloc(room, sizeof *p.fates);
    p.order = sotto_calloc(room, sizeof *p.order);
    p.chain = sotto_calloc(nodes, sizeof *p.chain);
    p.absorbed = sotto_calloc(nodes, sizeof *p.absorbed);
    int ok = t->vertices != NULL && t->vertex_of != NULL && t->levels != NULL && t->steps != NULL && p.fates != NULL && p.order != NULL &&
             p.chain != NULL && p.absorbed != NULL;
    if (ok) {
        memset(p.chain, 0xFF, nodes * sizeof *p.chain);
        memset(t->vertex_of, 0xFF, nodes * sizeof *t->vertex_of);
        for (size_t i = 0; i < room; i++) {
            p.fates[i].gradient = p.fates[i].norm = NOWHERE;
            p.fates[i].root = (uint32_t)i;
            p.fates[i].next = NO_VERTEX;
        }
        append_all(&p);
        find_biases(t);
        find_levels(&p);
        find_wants(&p);
        find_kept(&p);
        emit_forward(&p);
        if (t->backward) {
            emit_backward(&p);
        }
        live_all(&p);
        ok = settle_all(&p);
    }
    sotto_free(p.fates);
    sotto_free(p.order);
    sotto_free(p.chain);
    sotto_free(p.absorbed);
    return ok ? SOTTO_OK : sotto_fail(SOTTO_ERR_MEMORY, "no memory for the plan of training");
}
