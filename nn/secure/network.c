#include "nn/secure/network.h"

#include <sodium.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/model/deploy.h"

/* All at the largest n that needs no second thought about tiles: n = 2048 (54 bits) never has room for the flood, n = 8192 doubles every transform. 46-bit primes
 * leave the lazy ranges of a 52-bit multiplier the most room, so they come first where they suffice. */
static const struct he_set {
    uint32_t n;
    unsigned primes, bits[SOTTO_PRIMES_MAX];
} he_sets[] = {
    {4096, 2, {46, 46}},
    {4096, 2, {50, 50}},
    {4096, 2, {54, 54}},
    {4096, 3, {36, 36, 36}},
    {8192, 3, {50, 50, 50}},
    {8192, 4, {50, 50, 50, 50}},
};

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
    status = sotto_linear_plan_new(&linear->plan, linear->params, &info->linear, n->program.coefficients);
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

static int choose(sotto_node *node, const sotto_step_info *info, double coefficients)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < sizeof he_sets / sizeof *he_sets; i++) {
        sotto_node_plan trial = node->plan;
        trial.he_n = he_sets[i].n;
        trial.he_primes = he_sets[i].primes;
        memcpy(trial.he_prime_bits, he_sets[i].bits, sizeof trial.he_prime_bits);
        sotto_bfv_params *params = NULL;
        sotto_linear_plan plan;
        int status = node_params(&params, &trial, info->l);
        if (status == SOTTO_OK) {
            status = sotto_linear_plan_new(&plan, params, &info->linear, coefficients);
        }
        sotto_bfv_params_free(params);
        if (status == SOTTO_OK && plan.request_bytes + plan.answer_bytes < best) {
            best = plan.request_bytes + plan.answer_bytes;
            node->plan = trial;
        } else if (status != SOTTO_OK && status != SOTTO_ERR_PARAMS) {
            return status;
        }
    }
    if (best == SIZE_MAX) {
        return sotto_fail_context(SOTTO_ERR_PARAMS, "node %s: no HE parameters hold a ring of %u bits; the largest refuses: ", node->name,
                                  info->l);
    }
    return SOTTO_OK;
}

int sotto_network_choose_he(sotto_model *m)
{
    sotto_program program;
    int status = sotto_program_new(&program, m);
    for (size_t i = 0; status == SOTTO_OK && i < program.step_count; i++) {
        if (program.steps[i].op == SOTTO_STEP_LINEAR) {
            status = choose(&m->nodes[program.steps[i].node], &program.steps[i], program.coefficients);
        }
    }
    sotto_program_free(&program);
    return status;
}
