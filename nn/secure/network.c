#include "nn/secure/network.h"

#include <math.h>
#include <sodium.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/model/deploy.h"
#include "nn/secure/poly.h"

/* n = 2048 (54 bits) never has room for the flood, n = 8192 doubles every transform. Short primes send less; up to 46 bits a 52-bit multiplier has the most room for
 * lazy ranges, and beyond 50 it does not serve. Every ring in use costs a key pair, so that not every length stands here. */
static const sotto_he_set he_sets[] = {
    {4096, 2, {43, 43}},
    {4096, 2, {44, 44}},
    {4096, 2, {46, 46}},
    {4096, 2, {48, 48}},
    {4096, 2, {50, 50}},
    {4096, 2, {54, 54}},
    {4096, 3, {36, 36, 36}},
    {8192, 3, {50, 50, 50}},
    {8192, 4, {50, 50, 50, 50}},
};

const sotto_he_set *sotto_network_sets(size_t *count)
{
    *count = sizeof he_sets / sizeof *he_sets;
    return he_sets;
}

static int node_params(sotto_bfv_params **out, const sotto_node_plan *plan, unsigned l)
{
    return sotto_bfv_params_from_bits(out, plan->he_n, plan->he_prime_bits, plan->he_primes, UINT64_C(1) << l);
}

/* The ring of a node may be in use already; its tables are then shared. */
static int linear_new(sotto_network *n, size_t step)
{
    const sotto_step_info *info = &n->program.steps[step];
    const sotto_node *node = &n->model.nodes[info->node];
    sotto_network_linear *linear = &n->linear[step];
    if (node->plan.he_primes == 0) {
        return sotto_fail(SOTTO_ERR_PARAMS, "node %s: the plan has no HE parameters (he=)", node->name);
    }
    int status = node_params(&linear->params, &node->plan, info->l);
    if (status != SOTTO_OK) {
        return sotto_fail_context(status, "node %s: he", node->name);
    }
    for (linear->key = 0; linear->key < n->key_count; linear->key++) {
        if (sotto_bfv_same_ring(n->keys[linear->key], linear->params)) {
            sotto_bfv_params *shared = NULL;
            status = sotto_bfv_params_with_t(&shared, n->keys[linear->key], UINT64_C(1) << info->l);
            if (status != SOTTO_OK) {
                return status;
            }
            sotto_bfv_params_free(linear->params);
            linear->params = shared;
            break;
        }
    }
    if (linear->key == n->key_count) {
        n->keys[n->key_count++] = linear->params;
    }
    const uint32_t *tile = node->plan.tile;
    status = tile[0] > 0 ? sotto_linear_plan_tile(&linear->plan, linear->params, &info->linear, n->program.coefficients,
                                                  (sotto_linear_tile){tile[0], tile[1], tile[2], tile[3]})
                         : sotto_linear_plan_new(&linear->plan, linear->params, &info->linear, n->program.coefficients);
    return status == SOTTO_OK ? SOTTO_OK : sotto_fail_context(status, "node %s", node->name);
}

static int copy_public(sotto_model *out, const sotto_model *m)
{
    sotto_model bare = *m;
    bare.nodes = sotto_calloc(m->node_count, sizeof *bare.nodes);
    if (bare.nodes == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for a model of %zu nodes", m->node_count);
    }
    memcpy(bare.nodes, m->nodes, m->node_count * sizeof *bare.nodes);
    for (size_t i = 0; i < m->node_count; i++) {
        memset(bare.nodes[i].tensor, 0, sizeof bare.nodes[i].tensor);
    }
    const int status = sotto_model_copy(out, &bare);
    sotto_free(bare.nodes);
    return status;
}

int sotto_network_new(sotto_network *n, const sotto_model *m)
{
    memset(n, 0, sizeof *n);
    /* Before any thread of a session hashes; libsodium chooses its kernels here. */
    int status = sodium_init() < 0 ? sotto_fail(SOTTO_ERR_UNSUPPORTED, "libsodium cannot start on this system")
                                   : copy_public(&n->model, m);
    if (status != SOTTO_OK) {
        return status;
    }
    status = sotto_program_new(&n->program, &n->model);
    if (status != SOTTO_OK) {
        goto fail;
    }
    n->linear = sotto_calloc(n->program.step_count, sizeof *n->linear);
    n->keys = sotto_calloc(n->program.step_count, sizeof *n->keys);
    if (n->linear == NULL || n->keys == NULL) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for a network of %zu steps", n->program.step_count);
        goto fail;
    }
    for (size_t i = 0; i < n->program.step_count; i++) {
        if (n->program.steps[i].op == SOTTO_STEP_LINEAR) {
            status = linear_new(n, i);
            if (status != SOTTO_OK) {
                goto fail;
            }
        }
    }
    return SOTTO_OK;
fail:
    sotto_network_free(n);
    return status;
}

void sotto_network_session(const sotto_model *m, sotto_sign_provider *sign, sotto_ot_kind *ot)
{
    const sotto_node_plan *p = &m->nodes[0].plan;
    if (*sign == SOTTO_SIGN_PLANNED) {
        *sign = p->sign > 0 ? (sotto_sign_provider)(p->sign - 1) : SOTTO_SIGN_LOOKUP;
    }
    if (*ot == SOTTO_OT_PLANNED) {
        *ot = p->ot > 0 ? (sotto_ot_kind)p->ot : SOTTO_OT_SOFTSPOKEN4;
    }
}

void sotto_network_free(sotto_network *n)
{
    for (size_t i = 0; n->linear != NULL && i < n->program.step_count; i++) {
        sotto_bfv_params_free(n->linear[i].params);
    }
    sotto_free(n->linear);
    sotto_free(n->keys);
    sotto_program_free(&n->program);
    sotto_model_free(&n->model);
    memset(n, 0, sizeof *n);
}

int sotto_network_choose_set(sotto_node_plan *chosen, const sotto_linear_shape *shape, unsigned l, double coefficients)
{
    double best = INFINITY;
    int refused = SOTTO_OK;
    for (size_t i = 0; i < sizeof he_sets / sizeof *he_sets; i++) {
        sotto_node_plan trial = *chosen;
        trial.he_n = he_sets[i].n;
        trial.he_primes = he_sets[i].primes;
        memcpy(trial.he_prime_bits, he_sets[i].bits, sizeof trial.he_prime_bits);
        memset(trial.tile, 0, sizeof trial.tile);
        sotto_bfv_params *params = NULL;
        sotto_linear_plan plan;
        int status = node_params(&params, &trial, l);
        if (status == SOTTO_OK) {
            status = sotto_linear_plan_new(&plan, params, shape, coefficients);
        }
        const double cost = status == SOTTO_OK ? sotto_linear_plan_cost(&plan, params) : INFINITY;
        sotto_bfv_params_free(params);
        if (cost < best) {
            best = cost;
            *chosen = trial;
        } else if (status == SOTTO_ERR_PARAMS) {
            refused = status;
        } else if (status != SOTTO_OK) {
            return status;
        }
    }
    return best < INFINITY ? SOTTO_OK : sotto_fail_context(refused, "no HE parameters hold a ring of %u bits; the largest refuses: ", l);
}

int sotto_network_choose_he(sotto_model *m)
{
    sotto_program program;
    int status = sotto_program_new(&program, m);
    for (size_t i = 0; status == SOTTO_OK && i < program.step_count; i++) {
        if (program.steps[i].op == SOTTO_STEP_LINEAR) {
            sotto_node *node = &m->nodes[program.steps[i].node];
            status = sotto_network_choose_set(&node->plan, &program.steps[i].linear, program.steps[i].l, program.coefficients);
            status = status == SOTTO_OK ? SOTTO_OK : sotto_fail_context(status, "node %s", node->name);
        }
    }
    sotto_program_free(&program);
    return status;
}

static size_t all_bytes(const sotto_unit_bytes *b)
{
    return b->matrix + b->correction + b->choice + b->table + b->offer + b->reply;
}

/* Of the UNIT and POLY steps of a node. Signs by circuit, which takes any u and costs the same whatever follows. */
static int node_bytes(const sotto_model *m, size_t node, size_t *bytes)
{
    sotto_program p;
    int status = sotto_program_new(&p, m);
    *bytes = 0;
    for (size_t i = 0; status == SOTTO_OK && i < p.step_count; i++) {
        const sotto_step_info *s = &p.steps[i];
        if (s->node == node && s->op == SOTTO_STEP_UNIT) {
            sotto_unit_plan plan;
            status = sotto_unit_plan_new(&plan, s, SOTTO_SIGN_CIRCUIT, SOTTO_OT_SOFTSPOKEN4);
            *bytes += all_bytes(&plan.bytes);
            sotto_unit_plan_free(&plan);
        } else if (s->node == node && s->op == SOTTO_STEP_POLY) {
            sotto_poly_plan plan;
            status = sotto_poly_plan_new(&plan, s, SOTTO_OT_SOFTSPOKEN4);
            *bytes += all_bytes(&plan.bytes);
            sotto_poly_plan_free(&plan);
        }
    }
    sotto_program_free(&p);
    return status;
}

int sotto_network_choose_products(sotto_model *m)
{
    int status = SOTTO_OK;
    for (size_t i = 0; i < m->node_count && status == SOTTO_OK; i++) {
        sotto_poly_plan_fields *poly = &m->nodes[i].plan.poly;
        if (m->nodes[i].op != SOTTO_OP_ACT || poly->bits == 0) {
            continue;
        }
        size_t bytes[2] = {SIZE_MAX, SIZE_MAX};
        int either[2];
        for (unsigned exchange = 0; exchange < 2; exchange++) { /* a ring that is too wide is refused: then the other */
            poly->exchange = exchange;
            either[exchange] = node_bytes(m, i, &bytes[exchange]);
            bytes[exchange] = either[exchange] == SOTTO_OK ? bytes[exchange] : SIZE_MAX;
        }
        poly->exchange = bytes[1] < bytes[0];
        status = either[poly->exchange];
    }
    return status;
}
