#include "nn/plain/program.h"

#include <math.h>
#include <string.h>

#include "lib/mem.h"

#define RING_MAX 60u
#define SHIFT_MAX 30

/* ---- compiling: forwards ---------------------------------------------------------------------------------------- */

typedef struct compiler {
    const sotto_model *m;
    sotto_program *p;
    unsigned *need; /* per step: the bits that its readers ask for */
    int *fresh;     /* per step: the client's share is a uniform mask, no word of which repeats; a concatenation's may be shifted */
} compiler;

static int refuse(const sotto_node *n, const char *reason)
{
    return sotto_fail(SOTTO_ERR_PARAMS, "node %s: %s", n->name, reason);
}

static uint32_t add_step(compiler *c, const sotto_step_info *s)
{
    c->p->steps[c->p->step_count] = *s;
    return (uint32_t)c->p->step_count++;
}

static int has_polynomial(const sotto_node *n)
{
    for (uint32_t i = 0; n->units != NULL && i < n->shape.c; i++) {
        if (n->units[i].kind == SOTTO_UNIT_SQUARE || n->units[i].kind == SOTTO_UNIT_CUBIC) {
            return 1;
        }
    }
    return 0;
}

static int check_unit_plan(const sotto_node *n)
{
    const sotto_node_plan *plan = &n->plan;
    if (!plan->present) {
        return refuse(n, "the plan has no line for it; quantise the model (sotto quantise)");
    }
    if (plan->k < 2 || plan->k > 50) {
        return refuse(n, "k is out of range; expected 2 to 50");
    }
    if (n->op != SOTTO_OP_IDENTITY && (plan->u < 2 || plan->u > plan->k)) {
        return refuse(n, "u is out of range; expected 2 to k");
    }
    if (sotto_op_is_unit(n->op) && plan->f > 40) {
        return refuse(n, "f is out of range; expected 0 to 40");
    }
    const sotto_poly_plan_fields *poly = &plan->poly;
    if (has_polynomial(n) && (poly->bits < 2 || poly->bits > 24 || poly->k < 2 || poly->k > 58 || poly->f > 40 || poly->shift > 40 ||
                              plan->f + poly->shift < poly->f || plan->f + poly->shift - poly->f > 40)) {
        return refuse(n, "it has polynomials, and the plan has no poly= for them, or one out of range; quantise the model again (sotto quantise)");
    }
    return SOTTO_OK;
}

static int compile_linear(compiler *c, const sotto_node *n, sotto_step_info *s)
{
    const sotto_step_info *in = &c->p->steps[s->in[0]];
    const sotto_shape x = c->m->nodes[n->input[0]].shape;
    const sotto_node_plan *plan = &n->plan;
    if (!plan->present || !(plan->weight_scale > 0.0) || !isfinite(plan->weight_scale) || plan->weight_bits < 2 || plan->weight_bits > 16) {
        return refuse(n, "the plan has no weight-scale above 0 and weight-bits 2 to 16; quantise the model (sotto quantise)");
    }
    if (!c->fresh[s->in[0]]) {
        return refuse(n, "a linear node reads a value that is no fresh mask; insert an identity node (deployment does)");
    }
    s->op = SOTTO_STEP_LINEAR;
    s->scale = in->scale * plan->weight_scale;
    s->linear = n->op == SOTTO_OP_DENSE
                    ? (sotto_linear_shape){.in_c = (uint32_t)in->words, .in_h = 1, .in_w = 1, .out_c = n->out, .kernel_h = 1,
                                           .kernel_w = 1, .stride_h = 1, .stride_w = 1, .groups = 1}
                    : (sotto_linear_shape){.in_c = x.c, .in_h = x.h, .in_w = x.w, .out_c = n->out, .kernel_h = n->kernel_h,
                                           .kernel_w = n->kernel_w, .stride_h = n->stride_h, .stride_w = n->stride_w,
                                           .pad_top = n->pad_top, .pad_left = n->pad_left, .pad_bottom = n->pad_bottom,
                                           .pad_right = n->pad_right, .groups = n->groups};
    s->linear.weight_bits = plan->weight_bits;
    c->p->coefficients += (double)s->words;
    return SOTTO_OK;
}

/* A concatenation into which some mask enters twice. `need` has no other use yet and is left as it was: zero. */
static int repeats(compiler *c, const sotto_step_info *concat)
{
    int twice = 0;
    c->need[concat->in[0]] = 1;
    c->need[concat->in[1]] += 1;
    for (size_t i = c->p->step_count; i-- > 0;) {
        const sotto_step_info *s = &c->p->steps[i];
        const unsigned ways = c->need[i], inputs = s->op == SOTTO_STEP_CONCAT ? 2 : s->op == SOTTO_STEP_PAD || s->op == SOTTO_STEP_SUM ? 1 : 0;
        twice |= ways > 1;
        for (unsigned k = 0; k < inputs && ways > 0; k++) {
            c->need[s->in[k]] = c->need[s->in[k]] + ways > 1 ? 2 : 1;
        }
        c->need[i] = 0;
    }
    return twice;
}

/* ADD, CONCAT: both inputs at the finer scale. */
static int compile_pair(compiler *c, const sotto_node *n, sotto_step_info *s)
{
    const double scale[2] = {c->p->steps[s->in[0]].scale, c->p->steps[s->in[1]].scale};
    s->op = n->op == SOTTO_OP_ADD ? SOTTO_STEP_ADD : SOTTO_STEP_CONCAT;
    s->scale = fmin(scale[0], scale[1]);
    for (unsigned k = 0; k < 2; k++) {
        const double shift = log2(scale[k] / s->scale), whole = nearbyint(shift);
        if (!(whole >= 0.0) || whole > SHIFT_MAX || fabs(shift - whole) > 1e-6) {
            return refuse(n, "the scales of its inputs do not differ by a power of two up to 2^30; quantise the model again (sotto quantise)");
        }
        s->shift[k] = (unsigned)whole;
    }
    return SOTTO_OK;
}

/* ---- units ---- */

static unsigned bits_of(size_t count) /* ceil(log2(count)) */
{
    unsigned bits = 0;
    while ((size_t)1 << bits < count) {
        bits++;
    }
    return bits;
}

/* The decisions of one channel: one a patch, or none. */
static void map_channel(const sotto_node *n, uint32_t channel, sotto_step_info *s)
{
    const sotto_unit u = n->units[channel];
    const uint32_t h = n->shape.h, w = n->shape.w;
    const size_t first = (size_t)channel * h * w;
    for (size_t i = first; u.kind != SOTTO_UNIT_RELU && i < first + (size_t)h * w; i++) {
        s->decision[i] = u.kind == SOTTO_UNIT_ZERO ? SOTTO_DECISION_ZERO : SOTTO_DECISION_PASS;
    }
    for (uint32_t top = 0; u.kind == SOTTO_UNIT_RELU && top < h; top += u.block_h) {
        for (uint32_t left = 0; left < w; left += u.block_w) {
            const uint32_t rows = h - top < u.block_h ? h - top : u.block_h, cols = w - left < u.block_w ? w - left : u.block_w;
            if (!sotto_node_masked_in(n, first + (size_t)top * w + left)) { /* in patches of one pixel alone */
                s->decision[first + (size_t)top * w + left] = SOTTO_DECISION_PASS;
                continue;
            }
            for (uint32_t i = 0; i < rows * cols; i++) {
                s->decision[first + (size_t)(top + i / cols) * w + left + i % cols] = (uint32_t)s->decisions;
            }
            s->patch_bits[s->decisions++] = (uint8_t)bits_of((size_t)rows * cols);
        }
    }
}

/* Kinds, patches and mask of an act node; nothing where it is relu or identity all over. */
static int compile_act(const sotto_node *n, sotto_step_info *s)
{
    size_t others = 0, patches = 0;
    for (uint32_t i = 0; i < n->shape.c; i++) {
        const sotto_unit u = n->units[i];
        others += u.kind == SOTTO_UNIT_ZERO;
        patches += u.block_h > 1 || u.block_w > 1;
    }
    const size_t decisions = sotto_node_decisions(n);
    s->sign = decisions > 0;
    if ((decisions == 0 && others == 0) || (patches == 0 && decisions == s->words)) {
        s->decisions = decisions;
        return SOTTO_OK;
    }
    s->decision = sotto_calloc(s->words, sizeof *s->decision);
    s->patch_bits = sotto_calloc(decisions + 1, sizeof *s->patch_bits);
    if (s->decision == NULL || s->patch_bits == NULL) {
        sotto_free(s->decision);
        sotto_free(s->patch_bits);
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the units of node %s", n->name);
    }
    for (uint32_t i = 0; i < n->shape.c; i++) {
        map_channel(n, i, s);
    }
    return SOTTO_OK;
}

/* Windows of channels as shifts into that of the node. area: values of a channel. */
static int compile_windows(const sotto_node *n, sotto_step_info *s, size_t area)
{
    const size_t decisions = s->decision == NULL ? s->units : s->decisions;
    if (n->windows == NULL || !s->sign) {
        return SOTTO_OK;
    }
    if (s->shape.c != n->shape.c) {
        return refuse(n, "windows of channels of a flattened image; put it before the flatten node");
    }
    for (uint32_t i = 0; i < n->shape.c; i++) {
        if (n->windows[i] < 2 || n->windows[i] > n->plan.k) {
            return refuse(n, "a window is out of range; expected 2 to k");
        }
    }
    s->lift = sotto_calloc(decisions, 1);
    if (s->lift == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the windows of node %s", n->name);
    }
    for (size_t i = 0; i < (s->decision == NULL ? decisions : s->words); i++) {
        const size_t d = s->decision == NULL ? i : s->decision[i];
        if (d < decisions) {
            s->lift[d] = (uint8_t)(n->plan.k - n->windows[i / area % n->shape.c]);
        }
    }
    return SOTTO_OK;
}

static int compile_unit(compiler *c, const sotto_node *n, sotto_step_info *s)
{
    int status = check_unit_plan(n);
    s->op = SOTTO_STEP_UNIT;
    s->units = s->words;
    if (n->op == SOTTO_OP_RELU || n->op == SOTTO_OP_IDENTITY) { /* of a flattened image: still the image */
        s->shape = c->p->steps[s->in[0]].shape;
    }
    s->truncation.f = has_polynomial(n) ? n->plan.poly.f : n->plan.f;
    s->scale = ldexp(c->p->steps[s->in[0]].scale, (int)s->truncation.f);
    s->k = n->plan.k;
    s->clip = n->op == SOTTO_OP_CLIP;
    s->sign = s->clip || n->op == SOTTO_OP_RELU;
    s->decisions = s->sign ? s->units << s->clip : 0;
    if (status == SOTTO_OK && n->op == SOTTO_OP_ACT) {
        status = compile_act(n, s);
    }
    if (s->sign) {
        s->sign_window = (sotto_sign_window){n->plan.k, n->plan.k - n->plan.u};
    }
    if (status == SOTTO_OK) {
        status = compile_windows(n, s, (size_t)n->shape.h * n->shape.w);
        if (status != SOTTO_OK) {
            sotto_free(s->decision);
            sotto_free(s->patch_bits);
        }
    }
    c->p->relus += s->decisions;
    return status;
}

/* A UNIT that passes on what is not always zero. */
static int pass_on(compiler *c, const sotto_node *n, sotto_step_info *s, unsigned f)
{
    sotto_step_info pass = {.op = SOTTO_STEP_UNIT, .node = s->node, .in = {(uint32_t)c->p->step_count - 1}, .shape = s->shape, .ways = 1, .words = s->words,
                            .units = s->words, .truncation = {.f = f}, .scale = ldexp(c->p->steps[c->p->step_count - 1].scale, (int)f), .k = n->plan.poly.k};
    const size_t area = (size_t)s->shape.h * s->shape.w;
    int zeros = 0;
    for (uint32_t i = 0; i < s->shape.c; i++) {
        zeros |= n->units[i].kind == SOTTO_UNIT_ZERO;
    }
    pass.decision = zeros ? sotto_calloc(s->words, sizeof *pass.decision) : NULL;
    if (zeros && pass.decision == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the units of node %s", n->name);
    }
    for (size_t i = 0; zeros && i < s->words; i++) {
        pass.decision[i] = n->units[i / area].kind == SOTTO_UNIT_ZERO ? SOTTO_DECISION_ZERO : SOTTO_DECISION_PASS;
    }
    *s = pass;
    return SOTTO_OK;
}

/* What follows the UNIT *s of a layer with polynomials; *s becomes the last step. */
static int compile_poly(compiler *c, const sotto_node *n, sotto_step_info *s)
{
    const sotto_poly_plan_fields *plan = &n->plan.poly;
    sotto_step_info poly = {.op = SOTTO_STEP_POLY, .node = s->node, .in = {add_step(c, s)}, .shape = s->shape, .ways = 1, .words = s->words,
                            .scale = ldexp(s->scale, -(int)plan->shift), .shift = {plan->shift}, .poly_bits = plan->bits};
    c->fresh[poly.in[0]] = 1;
    poly.degree = sotto_calloc(s->shape.c, 1);
    if (poly.degree == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the units of node %s", n->name);
    }
    for (uint32_t i = 0; i < s->shape.c; i++) {
        const unsigned kind = n->units[i].kind;
        poly.degree[i] = kind == SOTTO_UNIT_ZERO ? 0 : kind == SOTTO_UNIT_SQUARE ? 2 : kind == SOTTO_UNIT_CUBIC ? 3 : 1;
    }
    add_step(c, &poly);
    int status = SOTTO_OK;
    if (plan->exchange) {
        status = pass_on(c, n, s, 0);
        if (status == SOTTO_OK) {
            add_step(c, s);
        }
    }
    return status == SOTTO_OK ? pass_on(c, n, s, n->plan.f + plan->shift - plan->f) : status;
}

static sotto_window window_of(const sotto_node *n, sotto_shape in)
{
    if (n->op == SOTTO_OP_GLOBALAVG) {
        return (sotto_window){in.h, in.w, in.h, in.w, 0, 0};
    }
    return (sotto_window){n->kernel_h, n->kernel_w, n->stride_h, n->stride_w, n->pad_top, n->pad_left};
}

/* A flattened value keeps the shape of the step that made it, which is the one that a window slides over and that channels are counted in. */
static int check_image(const compiler *c, const sotto_node *n, const sotto_step_info *s)
{
    for (unsigned k = 0; k < sotto_op_inputs(n->op); k++) {
        const sotto_shape node = c->m->nodes[n->input[k]].shape, step = c->p->steps[s->in[k]].shape;
        if (node.c != step.c || node.h != step.h || node.w != step.w) {
            return sotto_fail(SOTTO_ERR_UNSUPPORTED, "node %s: %s reads a flattened image; put it before the flatten node", n->name, sotto_op_name(n->op));
        }
    }
    return SOTTO_OK;
}

/* Part of a maximum: windows of its own, h x w of them in a channel. */
typedef struct pool_pass {
    sotto_window window;
    uint32_t h, w;
} pool_pass;

static uint64_t comparisons(const pool_pass pass[2])
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < 2; i++) {
        const sotto_window *k = &pass[i].window;
        sum += ((uint64_t)k->kernel_h * k->kernel_w - 1) * pass[i].h * pass[i].w; /* below 2^58: sides and kernels are at most 2^16, h w at most 2^26 in the last pass */
    }
    return sum;
}

/* Rows, or columns, up to the last that a window reaches. */
static uint32_t reached(uint32_t windows, uint32_t stride, uint32_t kernel, uint32_t pad, uint32_t size)
{
    const uint64_t end = (uint64_t)(windows - 1) * stride + kernel - pad;
    return end < size ? (uint32_t)end : size;
}

/* The maximum over a window is that over its rows of their maxima, which windows that overlap share: 6 comparisons an output instead of 8 where 3 x 3 goes by strides of 2, in
 * as many exchanges. Takes what needs the fewest; of equals the window at once, which never needs more exchanges. A pass without outputs is none. */
static void split_pool(const sotto_node *n, sotto_shape in, pool_pass out[2])
{
    const sotto_window all = window_of(n, in), along = {1, all.kernel_w, 1, all.stride_w, 0, all.pad_left}, across = {all.kernel_h, 1, all.stride_h, 1, all.pad_top, 0};
    const uint32_t h = n->shape.h, w = n->shape.w;
    const pool_pass ways[3][2] = {
        {{all, h, w}, {all, 0, 0}},
        {{along, reached(h, all.stride_h, all.kernel_h, all.pad_top, in.h), w}, {across, h, w}},
        {{across, h, reached(w, all.stride_w, all.kernel_w, all.pad_left, in.w)}, {along, h, w}},
    };
    unsigned best = 0;
    for (unsigned i = 1; i < 3; i++) {
        best = comparisons(ways[i]) < comparisons(ways[best]) ? i : best;
    }
    memcpy(out, ways[best], sizeof ways[best]);
}

/* GATHER and a tree of MAX steps, reading s->in[0]; s->in[0] becomes the last of them. */
static int compile_pass(compiler *c, const sotto_node *n, const pool_pass *pass, sotto_step_info *s)
{
    const uint64_t ways = (uint64_t)pass->window.kernel_h * pass->window.kernel_w;
    s->shape.h = pass->h;
    s->shape.w = pass->w;
    const uint64_t area = (uint64_t)s->shape.c * pass->h * pass->w;
    if (area > SOTTO_VALUES_MAX || ways * area > SOTTO_VALUES_MAX) {
        return refuse(n, "the windows of a maximum hold too many values");
    }
    s->op = SOTTO_STEP_GATHER;
    s->window = pass->window;
    s->ways = (uint32_t)ways;
    s->words = (size_t)(ways * area);
    s->in[0] = add_step(c, s);
    for (uint32_t left = s->ways; left > 1; left = (left + 1) / 2) {
        sotto_step_info max = {.op = SOTTO_STEP_MAX, .node = s->node, .in = {s->in[0]}, .shape = s->shape, .scale = s->scale, .ways = (left + 1) / 2};
        max.words = max.ways * (size_t)area;
        max.units = left / 2 * (size_t)area;
        max.decisions = max.units;
        max.sign = 1;
        max.k = n->plan.k; /* of all differences within a channel, in whichever order they are taken */
        max.sign_window = (sotto_sign_window){n->plan.k, n->plan.k - n->plan.u};
        c->p->relus += max.units;
        s->in[0] = add_step(c, &max);
        const int status = compile_windows(n, &c->p->steps[s->in[0]], (size_t)pass->h * pass->w);
        if (status != SOTTO_OK) {
            return status;
        }
    }
    return SOTTO_OK;
}

static int compile_maxpool(compiler *c, const sotto_node *n, sotto_step_info *s)
{
    pool_pass pass[2];
    int status = check_unit_plan(n);
    if (status == SOTTO_OK) {
        status = check_image(c, n, s);
    }
    split_pool(n, c->m->nodes[n->input[0]].shape, pass);
    s->scale = c->p->steps[s->in[0]].scale;
    for (unsigned i = 0; i < 2 && pass[i].h > 0 && status == SOTTO_OK; i++) {
        status = compile_pass(c, n, &pass[i], s);
    }
    c->p->step_of[s->node] = s->in[0];
    return status;
}

static int compile_node(compiler *c, size_t index)
{
    const sotto_node *n = &c->m->nodes[index];
    sotto_program *p = c->p;
    sotto_step_info s = {.node = (uint32_t)index, .shape = n->shape, .ways = 1, .words = sotto_shape_words(n->shape)};
    const sotto_shape in = c->m->nodes[n->input[0]].shape;
    int status = SOTTO_OK, fresh = 0;
    for (unsigned k = 0; k < sotto_op_inputs(n->op); k++) {
        s.in[k] = p->step_of[n->input[k]];
    }
    const sotto_step_info *from = index > 0 ? &p->steps[s.in[0]] : NULL;
    switch (n->op) {
    case SOTTO_OP_INPUT:
        if (!n->plan.present || !(n->plan.scale > 0.0) || !isfinite(n->plan.scale) || n->plan.bits < 2 || n->plan.bits > 16) {
            return refuse(n, "the plan has no scale above 0 and bits 2 to 16; quantise the model (sotto quantise)");
        }
        s.op = SOTTO_STEP_INPUT;
        s.scale = n->plan.scale;
        fresh = 1;
        break;
    case SOTTO_OP_CONV:
    case SOTTO_OP_DENSE:
        status = compile_linear(c, n, &s);
        break;
    case SOTTO_OP_RELU:
    case SOTTO_OP_CLIP:
    case SOTTO_OP_ACT:
    case SOTTO_OP_IDENTITY:
        status = compile_unit(c, n, &s);
        if (status == SOTTO_OK && has_polynomial(n)) {
            status = compile_poly(c, n, &s);
        }
        fresh = 1;
        break;
    case SOTTO_OP_ADD:
        status = compile_pair(c, n, &s);
        break;
    case SOTTO_OP_CONCAT:
        status = check_image(c, n, &s);
        if (status == SOTTO_OK) {
            status = compile_pair(c, n, &s);
        }
        fresh = c->fresh[s.in[0]] && c->fresh[s.in[1]] && !repeats(c, &s);
        break;
    case SOTTO_OP_PAD: /* zeros that both parties know need no mask */
        status = check_image(c, n, &s);
        s.op = SOTTO_STEP_PAD;
        s.scale = from->scale;
        s.pad_top = n->pad_top;
        s.pad_left = n->pad_left;
        s.pad_front = n->pad_front;
        fresh = c->fresh[s.in[0]];
        break;
    case SOTTO_OP_AVGPOOL:
    case SOTTO_OP_GLOBALAVG:
        status = check_image(c, n, &s);
        s.op = SOTTO_STEP_SUM;
        s.window = window_of(n, in);
        s.scale = from->scale / ((double)s.window.kernel_h * s.window.kernel_w);
        fresh = c->fresh[s.in[0]] && s.window.stride_h >= s.window.kernel_h && s.window.stride_w >= s.window.kernel_w;
        break;
    case SOTTO_OP_MAXPOOL:
        return compile_maxpool(c, n, &s);
    case SOTTO_OP_FLATTEN:
        p->step_of[index] = s.in[0];
        return SOTTO_OK;
    case SOTTO_OP_BATCHNORM:
    case SOTTO_OP_COUNT:
        return sotto_fail(SOTTO_ERR_UNSUPPORTED, "node %s: %s is not part of a deployed network; deploy the model first", n->name,
                          sotto_op_name(n->op));
    }
    if (status == SOTTO_OK) {
        p->step_of[index] = add_step(c, &s);
        c->fresh[p->step_of[index]] = fresh;
    }
    return status;
}

/* ---- compiling: rings, backwards --------------------------------------------------------------------------------- */

static void ask(compiler *c, uint32_t step, unsigned bits)
{
    c->need[step] = bits > c->need[step] ? bits : c->need[step];
}

static void assign_ring(compiler *c, size_t at)
{
    sotto_step_info *s = &c->p->steps[at];
    s->l = c->need[at];
    switch (s->op) {
    case SOTTO_STEP_INPUT:
        break;
    case SOTTO_STEP_UNIT:
        if (c->p->steps[s->in[0]].op == SOTTO_STEP_POLY) { /* a local truncation */
            ask(c, s->in[0], s->l + s->truncation.f > s->k ? s->l + s->truncation.f : s->k);
            break;
        }
        ask(c, s->in[0], s->k + 1);
        for (size_t i = 0; s->decision != NULL && i < s->decisions; i++) {
            ask(c, s->in[0], s->k + s->patch_bits[i]);
        }
        break;
    case SOTTO_STEP_MAX:
        s->l = s->l > s->k ? s->l : s->k;
        ask(c, s->in[0], s->l);
        break;
    case SOTTO_STEP_ADD:
    case SOTTO_STEP_CONCAT:
        for (unsigned k = 0; k < 2; k++) {
            ask(c, s->in[k], s->l > s->shift[k] + 2 ? s->l - s->shift[k] : 2);
        }
        break;
    case SOTTO_STEP_LINEAR:
    case SOTTO_STEP_SUM:
    case SOTTO_STEP_PAD:
    case SOTTO_STEP_GATHER:
    case SOTTO_STEP_POLY:
        ask(c, s->in[0], s->l);
        break;
    }
}

/* Rings are known: what a unit reads is held in the ring of the step before it. */
static int check_step(const compiler *c, size_t at)
{
    sotto_step_info *s = &c->p->steps[at];
    const sotto_node *n = &c->m->nodes[s->node];
    int status = SOTTO_OK;
    if (s->l > RING_MAX || s->l < 2) {
        return sotto_fail(SOTTO_ERR_PARAMS, "node %s: its ring would have %u bits; 2 to %u are possible: smaller k", n->name, s->l, RING_MAX);
    }
    if (s->op == SOTTO_STEP_UNIT) {
        s->truncation = (sotto_truncation){c->p->steps[s->in[0]].l, s->truncation.f, s->l};
        status = sotto_truncation_check(s->truncation);
    } else if (s->op == SOTTO_STEP_MAX) {
        s->truncation = (sotto_truncation){s->l, 0, s->l};
        status = sotto_truncation_check(s->truncation);
    } else if (s->op == SOTTO_STEP_LINEAR) {
        uint32_t h, w;
        status = sotto_linear_out_size(&s->linear, &h, &w);
    }
    return status == SOTTO_OK ? SOTTO_OK : sotto_fail_context(status, "node %s", n->name);
}

static int compile(compiler *c)
{
    const sotto_model *m = c->m;
    sotto_program *p = c->p;
    int status = SOTTO_OK;
    for (size_t i = 0; i < m->node_count && status == SOTTO_OK; i++) {
        status = compile_node(c, i);
    }
    if (status != SOTTO_OK) {
        return status;
    }
    const sotto_node *last = &m->nodes[m->node_count - 1];
    const uint32_t output = p->step_of[m->node_count - 1];
    if (output + 1 != p->step_count || p->steps[output].op == SOTTO_STEP_UNIT || p->steps[output].op == SOTTO_STEP_INPUT) {
        return refuse(last, "the output is a unit, or not what the last node computes; end with a linear node, a pool or an addition");
    }
    if (!last->plan.present || last->plan.k < 2 || last->plan.k > 50) {
        return refuse(last, "the plan of the output has no k; expected 2 to 50");
    }
    p->steps[output].k = last->plan.k;
    ask(c, output, last->plan.k);
    for (size_t i = p->step_count; i-- > 0;) {
        assign_ring(c, i);
    }
    for (size_t i = 0; i < p->step_count && status == SOTTO_OK; i++) {
        if (c->need[i] == 0 && i != output) {
            status = refuse(&m->nodes[p->steps[i].node], "nothing reads it; remove it");
        } else {
            status = check_step(c, i);
        }
    }
    p->input_words = p->steps[0].words;
    p->output_words = p->steps[output].words;
    return status;
}

int sotto_program_new(sotto_program *p, const sotto_model *m)
{
    memset(p, 0, sizeof *p);
    size_t cap = m->node_count;
    for (size_t i = 0; i < m->node_count; i++) {
        cap += m->nodes[i].op == SOTTO_OP_MAXPOOL ? 2 * 17 : 0; /* GATHER, then at most 16 times MAX, for rows and for columns; at once at most 2^26 positions */
        cap += m->nodes[i].op == SOTTO_OP_ACT ? 3 : 0;
    }
    compiler c = {m, p, sotto_calloc(cap, sizeof *c.need), sotto_calloc(cap, sizeof *c.fresh)};
    p->steps = sotto_calloc(cap, sizeof *p->steps);
    p->step_of = sotto_calloc(m->node_count, sizeof *p->step_of);
    p->node_count = m->node_count;
    const int status = c.need == NULL || c.fresh == NULL || p->steps == NULL || p->step_of == NULL
                           ? sotto_fail(SOTTO_ERR_MEMORY, "no memory for a program of %zu steps", cap)
                           : compile(&c);
    sotto_free(c.need);
    sotto_free(c.fresh);
    if (status != SOTTO_OK) {
        sotto_program_free(p);
    }
    return status;
}

void sotto_program_free(sotto_program *p)
{
    for (size_t i = 0; p->steps != NULL && i < p->step_count; i++) {
        sotto_free(p->steps[i].decision);
        sotto_free(p->steps[i].patch_bits);
        sotto_free(p->steps[i].degree);
        sotto_free(p->steps[i].lift);
    }
    sotto_free(p->steps);
    sotto_free(p->step_of);
    memset(p, 0, sizeof *p);
}

/* ---- weights ---------------------------------------------------------------------------------------------------- */

static int64_t clamp_round(double x, double low, double high)
{
    const double r = nearbyint(x);
    return (int64_t)(r < low ? low : r > high ? high : r);
}

static int step_weights(sotto_program_weights *w, const sotto_step_info *s, const sotto_node *n, size_t at)
{
    const size_t per = (size_t)(s->linear.in_c / s->linear.groups) * s->linear.kernel_h * s->linear.kernel_w;
    const size_t count = per * s->linear.out_c;
    const double most = ldexp(1.0, (int)s->linear.weight_bits - 1), bound = ldexp(1.0, (int)s->l - 1);
    w->weight_counts[at] = count;
    w->bias_counts[at] = s->linear.out_c;
    w->weights[at] = sotto_calloc(count, sizeof **w->weights);
    w->bias[at] = sotto_calloc(s->linear.out_c, sizeof **w->bias);
    if (w->weights[at] == NULL || w->bias[at] == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the weights of node %s", n->name);
    }
    for (size_t i = 0; i < count; i++) {
        w->weights[at][i] = (int32_t)clamp_round(n->tensor[0][i] / n->plan.weight_scale, -most, most);
    }
    for (uint32_t i = 0; i < s->linear.out_c; i++) {
        const double bias = n->tensor[1][i] / s->scale;
        if (!(bias >= -bound) || !(bias < bound - 1.0)) {
            return refuse(n, "a bias does not fit its ring; quantise the model again (sotto quantise)");
        }
        w->bias[at][i] = (int64_t)nearbyint(bias);
    }
    return SOTTO_OK;
}

/* T of each channel of a clip. A value in [T, T + 2^f) may become T >> f or be cut to it: the same. */
static int step_bounds(sotto_program_weights *w, const sotto_step_info *s, const sotto_node *n, size_t at)
{
    const int64_t unit = INT64_C(1) << s->truncation.f;
    w->bound_counts[at] = s->shape.c;
    w->bound[at] = sotto_calloc(s->shape.c, sizeof **w->bound);
    if (w->bound[at] == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the bounds of node %s", n->name);
    }
    for (uint32_t i = 0; i < s->shape.c; i++) {
        const double bound = fmax(nearbyint(n->tensor[0][i] / s->scale), 1.0) * (double)unit;
        if (!(bound < ldexp(1.0, (n->windows != NULL ? n->windows[i] : (int)s->k) - 1))) {
            return refuse(n, "a bound does not fit its window; quantise the model again (sotto quantise)");
        }
        w->bound[at][i] = (int64_t)bound;
    }
    return SOTTO_OK;
}

/* Coefficients of the channels that are polynomials. */
static int step_poly(sotto_program_weights *w, const sotto_program *p, const sotto_node *n, size_t at)
{
    const sotto_step_info *s = &p->steps[at];
    const double x = p->steps[s->in[0]].scale;
    w->poly_counts[at] = (size_t)s->shape.c * SOTTO_POLY_TERMS;
    w->poly[at] = sotto_calloc(w->poly_counts[at], sizeof **w->poly);
    if (w->poly[at] == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the coefficients of node %s", n->name);
    }
    for (uint32_t c = 0; c < s->shape.c; c++) {
        for (unsigned j = 0; s->degree[c] > 1 && j <= s->degree[c]; j++) {
            const double term = nearbyint(n->tensor[0][c * SOTTO_POLY_TERMS + j] * pow(x, (int)j) / s->scale);
            const double most = ldexp(1.0, (int)(j == s->degree[c] ? s->poly_bits : s->l) - 1);
            if (!(term >= -most) || !(term < most)) {
                return refuse(n, "a coefficient does not fit the bits of its plan; quantise the model again (sotto quantise)");
            }
            w->poly[at][c * SOTTO_POLY_TERMS + j] = (int64_t)term;
        }
    }
    return SOTTO_OK;
}

static int has_tables(const sotto_program_weights *w)
{
    return w->weights != NULL && w->bias != NULL && w->bound != NULL && w->poly != NULL && w->weight_counts != NULL && w->bias_counts != NULL && w->bound_counts != NULL &&
           w->poly_counts != NULL;
}

int sotto_program_weights_new(sotto_program_weights *w, const sotto_program *p, const sotto_model *m)
{
    memset(w, 0, sizeof *w);
    if (!sotto_model_has_weights(m)) {
        return sotto_fail(SOTTO_ERR_ARG, "the model was loaded without its weights");
    }
    w->step_count = p->step_count;
    w->weights = sotto_calloc(p->step_count, sizeof *w->weights);
    w->bias = sotto_calloc(p->step_count, sizeof *w->bias);
    w->bound = sotto_calloc(p->step_count, sizeof *w->bound);
    w->weight_counts = sotto_calloc(p->step_count, sizeof *w->weight_counts);
    w->bias_counts = sotto_calloc(p->step_count, sizeof *w->bias_counts);
    w->bound_counts = sotto_calloc(p->step_count, sizeof *w->bound_counts);
    w->poly = sotto_calloc(p->step_count, sizeof *w->poly);
    w->poly_counts = sotto_calloc(p->step_count, sizeof *w->poly_counts);
    int status = SOTTO_OK;
    if (!has_tables(w)) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for the weights of %zu steps", p->step_count);
    }
    for (size_t i = 0; i < p->step_count && status == SOTTO_OK; i++) {
        const sotto_node *n = &m->nodes[p->steps[i].node];
        if (p->steps[i].op == SOTTO_STEP_LINEAR) {
            status = step_weights(w, &p->steps[i], n, i);
        } else if (p->steps[i].clip) {
            status = step_bounds(w, &p->steps[i], n, i);
        } else if (p->steps[i].op == SOTTO_STEP_POLY) {
            status = step_poly(w, p, n, i);
        }
    }
    if (status != SOTTO_OK) {
        sotto_program_weights_free(w);
    }
    return status;
}

void sotto_program_weights_free(sotto_program_weights *w)
{
    for (size_t i = 0; has_tables(w) && i < w->step_count; i++) {
        sotto_free_secret(w->weights[i], w->weight_counts[i], sizeof **w->weights);
        sotto_free_secret(w->bias[i], w->bias_counts[i], sizeof **w->bias);
        sotto_free_secret(w->bound[i], w->bound_counts[i], sizeof **w->bound);
        sotto_free_secret(w->poly[i], w->poly_counts[i], sizeof **w->poly);
    }
    sotto_free(w->weights);
    sotto_free(w->bias);
    sotto_free(w->bound);
    sotto_free(w->weight_counts);
    sotto_free(w->bias_counts);
    sotto_free(w->bound_counts);
    sotto_free(w->poly);
    sotto_free(w->poly_counts);
    memset(w, 0, sizeof *w);
}

void sotto_program_input(const sotto_program *p, const sotto_model *m, int64_t *x, const uint8_t *pixels)
{
    const sotto_shape s = p->steps[0].shape;
    const double bound = ldexp(1.0, (int)m->nodes[0].plan.bits - 1);
    const size_t area = (size_t)s.h * s.w;
    for (uint32_t c = 0; c < s.c; c++) {
        for (size_t i = 0; i < area; i++) {
            const double v = (pixels[c * area + i] / 255.0 - m->mean[c]) / m->std[c];
            x[c * area + i] = clamp_round(v / p->steps[0].scale, -bound, bound - 1.0);
        }
    }
}
