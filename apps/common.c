#include <math.h>
#include <string.h>

#include "apps/commands.h"
#include "lib/mem.h"
#include "nn/model/weights.h"

int model_paths_of(model_paths *p, const char *prefix)
{
    static const char suffix[] = ".sotto";
    size_t len = strlen(prefix);
    if (len >= sizeof suffix && strcmp(prefix + len - (sizeof suffix - 1), suffix) == 0) {
        len -= sizeof suffix - 1;
    }
    if (len > sizeof p->weights - 16) {
        return sotto_fail(SOTTO_ERR_ARG, "%.40s...: the path is too long", prefix);
    }
    snprintf(p->public_part, sizeof p->public_part, "%.*s.sotto", (int)len, prefix);
    snprintf(p->weights, sizeof p->weights, "%.*s.weights", (int)len, prefix);
    return SOTTO_OK;
}

int checker_new(checker *c, const model_paths *paths)
{
    memset(c, 0, sizeof *c);
    int status = sotto_model_load(&c->model, paths->public_part, paths->weights);
    if (status == SOTTO_OK) {
        status = sotto_program_new(&c->program, &c->model);
    }
    if (status == SOTTO_OK) {
        status = sotto_program_weights_new(&c->weights, &c->program, &c->model);
    }
    if (status == SOTTO_OK) {
        status = sotto_fixed_run_new(&c->run, &c->program, &c->weights);
    }
    if (status == SOTTO_OK) {
        c->share = sotto_calloc(c->program.step_count, sizeof *c->share);
        c->x = sotto_calloc(c->program.input_words, sizeof *c->x);
        c->plain = sotto_calloc(c->program.output_words, sizeof *c->plain);
        c->expected = sotto_calloc(c->program.output_words, sizeof *c->expected);
        int bad = c->share == NULL || c->x == NULL || c->plain == NULL || c->expected == NULL;
        for (size_t i = 0; !bad && i < c->program.step_count; i++) {
            c->share[i] = sotto_calloc(c->program.steps[i].words, sizeof **c->share);
            bad = c->share[i] == NULL;
        }
        status = bad ? sotto_fail(SOTTO_ERR_MEMORY, "no memory to check inferences") : SOTTO_OK;
    }
    if (status != SOTTO_OK) {
        checker_free(c);
    }
    return status;
}

void checker_free(checker *c)
{
    for (size_t i = 0; c->share != NULL && i < c->program.step_count; i++) {
        sotto_free_secret(c->share[i], c->program.steps[i].words, sizeof **c->share);
    }
    sotto_free(c->share);
    sotto_free(c->x);
    sotto_free(c->plain);
    sotto_free(c->expected);
    sotto_fixed_run_free(c->run);
    sotto_program_weights_free(&c->weights);
    sotto_program_free(&c->program);
    sotto_model_free(&c->model);
    memset(c, 0, sizeof *c);
}

void checker_keep(void *ctx, size_t step, const uint64_t *share, size_t words)
{
    checker *c = ctx;
    memcpy(c->share[step], share, words * sizeof *share);
}

static const uint64_t *kept(void *ctx, size_t step)
{
    return ((checker *)ctx)->share[step];
}

void checker_compare(checker *c, const uint8_t *pixels, const double *logits, int *exact)
{
    const sotto_fixed_options hook = {.share = kept, .ctx = c};
    const double scale = c->program.steps[c->program.step_count - 1].scale;
    sotto_program_input(&c->program, &c->model, c->x, pixels);
    sotto_fixed_infer(c->run, c->plain, c->x, NULL, NULL);
    sotto_fixed_infer(c->run, c->expected, c->x, &hook, NULL);
    *exact = 1;
    for (size_t i = 0; i < c->program.output_words; i++) {
        *exact &= llrint(logits[i] / scale) == c->expected[i];
    }
}

const char *label_of(const sotto_model *m, size_t i, char buffer[32])
{
    if (i < m->label_count) {
        return m->labels[i];
    }
    snprintf(buffer, 32, "class %zu", i);
    return buffer;
}

void print_phase(const char *name, const sotto_phase_stats *p)
{
    const double n = p->count > 0 ? (double)p->count : 1.0;
    printf("%-9s %9.3f %11.3f %11.3f %8.1f\n", name, p->seconds / n, (double)p->bytes_out / n / 1e6, (double)p->bytes_in / n / 1e6,
           (double)p->rounds / n);
}

void json_phase(json *j, const char *key, const sotto_phase_stats *p)
{
    const double n = p->count > 0 ? (double)p->count : 1.0;
    json_open(j, key, '{');
    json_int(j, "count", (long long)p->count);
    json_real(j, "seconds", p->seconds / n);
    json_int(j, "bytes_out", llrint((double)p->bytes_out / n));
    json_int(j, "bytes_in", llrint((double)p->bytes_in / n));
    json_real(j, "rounds", (double)p->rounds / n);
    json_close(j, '}');
}
