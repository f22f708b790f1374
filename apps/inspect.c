#include <string.h>

#include "apps/commands.h"
#include "nn/model/weights.h"
#include "nn/secure/material.h"

static int as_json;
static unsigned sign, ot;

static const cli_option option_table[] = {
    {"sign", CLI_CHOICE, &sign, SIGN_CHOICES, "how signs are decided; changes the bytes of ReLUs", 0, 0},
    {"ot", CLI_CHOICE, &ot, OT_CHOICES, "the oblivious-transfer extension; changes the bytes of ReLUs", 0, 0},
    {"json", CLI_FLAG, &as_json, "", "report as JSON", 0, 0},
};

static const cli_command command = {"inspect", "PREFIX",
                                    "Shows what PREFIX.sotto, the public part of a model, says: layers, rings, HE parameters with their security and noise, predicted\n"
                                    "bytes. Refuses a plan that does not hold.",
                                    option_table, sizeof option_table / sizeof *option_table, 1, 1};

typedef struct linear_figures {
    uint32_t n;
    unsigned log_q, log_t, security;
    double noise, flood, margin;
} linear_figures;

static linear_figures figures(const sotto_network_linear *linear, unsigned l)
{
    linear_figures f = {.n = sotto_bfv_n(linear->params), .log_q = sotto_rns_bits(sotto_bfv_rns(linear->params)), .log_t = l};
    f.security = sotto_bfv_security_bits(f.n, f.log_q);
    f.noise = linear->plan.answer.log_noise;
    f.flood = linear->plan.answer.log_flood;
    f.margin = linear->plan.answer.margin;
    return f;
}

static const char *step_name(const sotto_step_info *s, const sotto_node *n)
{
    return s->op == SOTTO_STEP_GATHER ? "gather" : s->op == SOTTO_STEP_MAX ? "max" : s->op == SOTTO_STEP_POLY ? "poly" : sotto_op_name(n->op);
}

static void shape_text(const sotto_step_info *s, char out[48])
{
    if (s->ways > 1) {
        snprintf(out, 48, "%u x %ux%ux%u", s->ways, s->shape.c, s->shape.h, s->shape.w);
    } else {
        snprintf(out, 48, "%ux%ux%u", s->shape.c, s->shape.h, s->shape.w);
    }
}

static void print_layers(const sotto_network *n, const sotto_terms *t)
{
    printf("\n%-10s %-9s %-14s %10s %7s %4s %4s %3s %3s %13s %13s %11s %11s\n", "layer", "op", "shape", "MACs", "ReLUs", "ring", "k", "f", "u",
           "prepare out", "prepare in", "infer out", "infer in");
    for (size_t i = 0; i < n->program.step_count; i++) {
        const sotto_step_info *s = &n->program.steps[i];
        const sotto_node *node = &n->model.nodes[s->node];
        const sotto_unit_bytes *u = s->op == SOTTO_STEP_POLY ? &t->polys[i].bytes : &t->units[i].bytes;
        const sotto_linear_plan *linear = &n->linear[i].plan;
        char shape[48];
        const int is_linear = s->op == SOTTO_STEP_LINEAR;
        shape_text(s, shape);
        printf("%-10s %-9s %-14s %10llu %7zu %4u %4u %3u %3u %13zu %13zu %11zu %11zu\n", node->name, step_name(s, node), shape,
               (unsigned long long)(is_linear ? sotto_node_macs(&n->model, node) : 0), s->decisions, s->l, s->k, s->truncation.f,
               s->sign ? s->sign_window.k - s->sign_window.j : 0, is_linear ? linear->request_bytes : u->matrix + u->choice,
               is_linear ? linear->answer_bytes : u->correction + u->table, u->reply, u->offer);
    }
}

static void print_linear(const sotto_network *n)
{
    printf("\n%-10s %6s %7s %7s %9s %13s %16s %12s %10s   %s\n", "linear", "n", "log2 q", "log2 t", "security", "noise, bits", "flooding, bits",
           "left of 1/2", "answers", "tile: in x filters x rows x columns");
    for (size_t i = 0; i < n->program.step_count; i++) {
        const sotto_step_info *s = &n->program.steps[i];
        if (s->op == SOTTO_STEP_LINEAR) {
            const linear_figures f = figures(&n->linear[i], s->l);
            const sotto_linear_tile tile = n->linear[i].plan.tile;
            printf("%-10s %6u %7u %7u %9u %13.1f %16.1f %12.4f %10zu   %u x %u x %u x %u\n", n->model.nodes[s->node].name, (unsigned)f.n, f.log_q,
                   f.log_t, f.security, f.noise, f.flood, f.margin, n->linear[i].plan.answers, (unsigned)tile.channels, (unsigned)tile.filters,
                   (unsigned)tile.rows, (unsigned)tile.cols);
        }
    }
}

static void print_all(const sotto_network *n, const sotto_terms *t)
{
    const sotto_model *m = &n->model;
    const sotto_shape in = m->nodes[0].shape;
    const sotto_item_bytes b = sotto_terms_bytes(t);
    printf("%s: input %ux%ux%u, %zu outputs, %zu decisions (ReLU and max)\nid ", m->name, in.c, in.h, in.w, n->program.output_words,
           n->program.relus);
    for (size_t i = 0; i < sizeof m->id; i++) {
        printf("%02x", m->id[i]);
    }
    printf("\n");
    print_layers(n, t);
    print_linear(n);
    printf("\nper image, as the client sees it, frames included, signs by %s:\n  prepare %.3f MB out, %.3f MB in; infer %.3f MB out, %.3f MB in\n",
           sotto_sign_name(t->sign), (double)b.prepare_out / 1e6, (double)b.prepare_in / 1e6, (double)b.infer_out / 1e6,
           (double)b.infer_in / 1e6);
}

static void json_layer(json *j, const sotto_network *n, const sotto_terms *t, size_t i)
{
    const sotto_step_info *s = &n->program.steps[i];
    const sotto_node *node = &n->model.nodes[s->node];
    char shape[48];
    shape_text(s, shape);
    json_open(j, NULL, '{');
    json_string(j, "name", node->name);
    json_string(j, "op", step_name(s, node));
    json_string(j, "shape", shape);
    json_int(j, "ring", s->l);
    json_real(j, "scale", s->scale);
    if (s->op == SOTTO_STEP_LINEAR) {
        const linear_figures f = figures(&n->linear[i], s->l);
        const sotto_linear_plan *p = &n->linear[i].plan;
        json_int(j, "macs", (long long)sotto_node_macs(&n->model, node));
        json_int(j, "n", f.n);
        json_int(j, "log2_q", f.log_q);
        json_int(j, "log2_t", f.log_t);
        json_int(j, "security_bits", f.security);
        json_real(j, "noise_bits", f.noise);
        json_real(j, "flooding_bits", f.flood);
        json_real(j, "margin", f.margin);
        json_int(j, "requests", (long long)p->requests);
        json_int(j, "answers", (long long)p->answers);
        json_int(j, "prepare_bytes_out", (long long)p->request_bytes);
        json_int(j, "prepare_bytes_in", (long long)p->answer_bytes);
    } else if (s->units > 0 || s->op == SOTTO_STEP_POLY) {
        const sotto_unit_bytes *u = s->op == SOTTO_STEP_POLY ? &t->polys[i].bytes : &t->units[i].bytes;
        json_int(j, "units", (long long)s->units);
        json_int(j, "relus", (long long)s->decisions);
        json_int(j, "k", s->k);
        json_int(j, "f", s->truncation.f);
        json_int(j, "u", s->sign ? s->sign_window.k - s->sign_window.j : 0);
        json_int(j, "prepare_bytes_out", (long long)(u->matrix + u->choice));
        json_int(j, "prepare_bytes_in", (long long)(u->correction + u->table));
        json_int(j, "infer_bytes_out", (long long)u->reply);
        json_int(j, "infer_bytes_in", (long long)u->offer);
    }
    json_close(j, '}');
}

static void json_all(const sotto_network *n, const sotto_terms *t)
{
    const sotto_item_bytes b = sotto_terms_bytes(t);
    json j;
    json_begin(&j, stdout);
    json_open(&j, NULL, '{');
    json_string(&j, "name", n->model.name);
    json_int(&j, "decisions", (long long)n->program.relus);
    json_open(&j, "layers", '[');
    for (size_t i = 0; i < n->program.step_count; i++) {
        json_layer(&j, n, t, i);
    }
    json_close(&j, ']');
    json_int(&j, "prepare_bytes_out", (long long)b.prepare_out);
    json_int(&j, "prepare_bytes_in", (long long)b.prepare_in);
    json_int(&j, "infer_bytes_out", (long long)b.infer_out);
    json_int(&j, "infer_bytes_in", (long long)b.infer_in);
    json_close(&j, '}');
}

int cmd_inspect(int argc, char **argv)
{
    const char *args[1];
    int arg_count, code;
    if (!cli_parse(&command, argc, argv, args, &arg_count, &code)) {
        return code;
    }
    sotto_model m = {0};
    sotto_network n = {0};
    sotto_terms t = {0};
    model_paths paths;
    int status = model_paths_of(&paths, args[0]);
    if (status == SOTTO_OK) {
        status = sotto_model_load(&m, paths.public_part, NULL);
    }
    if (status == SOTTO_OK && !m.nodes[0].plan.present) {
        status = sotto_fail(SOTTO_ERR_ARG, "%s has no plan: it is a network as it was trained or imported; sotto quantise %s --data SET --out OTHER makes one that can be served",
                            paths.public_part, args[0]);
    }
    if (status == SOTTO_OK) {
        status = sotto_network_new(&n, &m);
        status = status == SOTTO_OK ? SOTTO_OK : sotto_fail_context(status, "%s: the plan does not hold", paths.public_part);
    }
    if (status == SOTTO_OK) {
        sotto_sign_provider provider = SIGN_PROVIDER(sign);
        sotto_ot_kind kind = OT_KIND(ot);
        sotto_network_session(&n.model, &provider, &kind);
        status = sotto_terms_new(&t, &n, provider, kind);
    }
    if (status == SOTTO_OK) {
        (as_json ? json_all : print_all)(&n, &t);
    }
    sotto_terms_free(&t);
    sotto_network_free(&n);
    sotto_model_free(&m);
    return status == SOTTO_OK ? CLI_OK : cli_fail(&command);
}
