#include "nn/secure/unit_internal.h"

/* Sizes of a section whose count, pixels and decisions are there. */
static int section_sizes(sotto_unit_section *s, const sotto_step_info *step, unsigned patch_bits, sotto_sign_provider provider, sotto_ot_kind ot)
{
    s->ot = ot;
    s->truncation = step->truncation;
    s->widen = sotto_truncation_widen(step->truncation);
    s->area = (size_t)step->shape.h * step->shape.w;
    const size_t value_bits = s->pixels * sotto_packed_bytes(s->count, 1);
    const size_t next = s->pixels * sotto_packed_bytes(s->count, s->truncation.l_next), payload = truncation_payload(s) + bound_payload(s);
    sotto_unit_bytes *b = &s->bytes;
    b->correction = payload;
    b->choice = s->widen > 0 ? value_bits : 0;
    b->offer = s->widen > 0 ? value_bits : 0;
    b->reply = next;
    if (s->decisions > 0) {
        s->window = (sotto_sign_window){step->sign_window.k + patch_bits, step->sign_window.j + patch_bits};
        const int status = sotto_sign_plan_new(&s->signs, provider, s->window.k - s->window.j, s->decisions, s->count);
        if (status != SOTTO_OK) {
            return status;
        }
        s->server_ots = s->count;
        b->choice += s->signs.flip_bytes + next + (s->widen > 0 ? s->pixels * sotto_packed_bytes(s->count, s->widen) : 0);
        b->table = s->signs.table_bytes;
        b->offer += next + s->signs.message_bytes;
        b->reply += s->decisions * sotto_packed_bytes(s->count, 1);
    }
    s->client_ots = s->count * unit_ots(s);
    s->client_sums = sotto_ot_answer_bytes(ot, s->client_ots);
    s->server_sums = sotto_ot_answer_bytes(ot, s->server_ots);
    b->matrix = sotto_ot_wire_bytes(ot, s->client_ots, 1);
    b->correction += s->client_sums + sotto_ot_wire_bytes(ot, s->server_ots, 1);
    b->choice += s->server_sums;
    return SOTTO_OK;
}

/* ---- sorting the values of a mixed layer --------------------------------------------------------------------------- */

/* Sections in order: values passed on, then decisions by the number of their pixels. */
typedef struct sorting {
    const sotto_step_info *step;
    size_t passed;
    size_t *pixels;   /* of each decision */
    size_t *place;    /* of each decision, in its section */
    size_t *seen;     /* pixels of each decision that have been put */
    size_t most;      /* pixels of any */
    size_t *of_size;  /* decisions of each number of pixels, 0 to most */
} sorting;

static int count_pixels(sorting *o)
{
    const sotto_step_info *s = o->step;
    o->pixels = sotto_calloc(s->decisions, sizeof *o->pixels);
    o->place = sotto_calloc(s->decisions, sizeof *o->place);
    o->seen = sotto_calloc(s->decisions, sizeof *o->seen);
    if (o->pixels == NULL || o->place == NULL || o->seen == NULL) {
        return SOTTO_ERR_MEMORY;
    }
    for (size_t i = 0; i < s->words; i++) {
        const uint32_t d = s->decision[i];
        if (d < s->decisions) {
            o->pixels[d]++;
            o->most = o->pixels[d] > o->most ? o->pixels[d] : o->most;
        } else if (d != SOTTO_DECISION_PASS && d != SOTTO_DECISION_ZERO) {
            return sotto_fail(SOTTO_ERR_ARG, "value %zu of a unit step has decision %u of %zu", i, (unsigned)d, s->decisions);
        }
        o->passed += d == SOTTO_DECISION_PASS;
    }
    o->of_size = sotto_calloc(o->most + 1, sizeof *o->of_size);
    if (o->of_size == NULL) {
        return SOTTO_ERR_MEMORY;
    }
    for (size_t d = 0; d < s->decisions; d++) {
        if (o->pixels[d] == 0) {
            return sotto_fail(SOTTO_ERR_ARG, "decision %zu of a unit step has no values", d);
        }
        o->place[d] = o->of_size[o->pixels[d]]++;
    }
    return SOTTO_OK;
}

static unsigned ceil_log2(size_t x)
{
    unsigned bits = 0;
    while ((size_t)1 << bits < x) {
        bits++;
    }
    return bits;
}

static int mixed_sections(sotto_unit_plan *p, sorting *o, sotto_sign_provider provider, sotto_ot_kind ot)
{
    const sotto_step_info *step = o->step;
    int status = count_pixels(o);
    size_t most = 1;
    for (size_t n = 1; status == SOTTO_OK && n <= o->most; n++) {
        most += o->of_size[n] > 0;
    }
    p->sections = sotto_calloc(most, sizeof *p->sections);
    p->value = sotto_calloc(step->words, sizeof *p->value);
    p->lift = step->lift == NULL ? NULL : sotto_calloc(step->decisions, 1);
    size_t *first = status == SOTTO_OK ? sotto_calloc(o->most + 1, sizeof *first) : NULL; /* of the values of each section */
    if (status == SOTTO_ERR_MEMORY || (status == SOTTO_OK && (p->sections == NULL || p->value == NULL || first == NULL || (step->lift != NULL && p->lift == NULL)))) {
        status = sotto_fail(SOTTO_ERR_MEMORY, "no memory for the plan of %zu units", step->words);
    }
    size_t used = 0, decided = 0;
    for (size_t n = 0; status == SOTTO_OK && n <= o->most; n++) {
        const size_t count = n == 0 ? o->passed : o->of_size[n], pixels = n == 0 ? 1 : n;
        if (count > 0) {
            sotto_unit_section *s = &p->sections[p->section_count++];
            *s = (sotto_unit_section){.count = count, .pixels = pixels, .value = p->value + used, .decisions = n > 0};
            first[n] = used;
            used += count * pixels;
            s->lift = n > 0 && p->lift != NULL ? p->lift + decided : NULL;
            for (size_t d = 0; s->lift != NULL && d < step->decisions; d++) {
                if (o->pixels[d] == n) {
                    p->lift[decided + o->place[d]] = step->lift[d];
                }
            }
            decided += n > 0 ? count : 0;
            status = section_sizes(s, step, ceil_log2(pixels), provider, ot);
        }
    }
    for (size_t i = 0, passed = 0; status == SOTTO_OK && i < step->words; i++) {
        const uint32_t d = step->decision[i];
        if (d == SOTTO_DECISION_PASS) {
            p->value[passed++] = (uint32_t)i;
        } else if (d != SOTTO_DECISION_ZERO) {
            const size_t n = o->pixels[d];
            p->value[first[n] + o->seen[d]++ * o->of_size[n] + o->place[d]] = (uint32_t)i;
        }
    }
    sotto_free(first);
    return status;
}

static int plan_sections(sotto_unit_plan *p, const sotto_step_info *step, sotto_sign_provider provider, sotto_ot_kind ot)
{
    if (step->decision != NULL) {
        sorting o = {.step = step};
        const int status = mixed_sections(p, &o, provider, ot);
        sotto_free(o.pixels);
        sotto_free(o.place);
        sotto_free(o.seen);
        sotto_free(o.of_size);
        return status;
    }
    p->sections = sotto_calloc(1, sizeof *p->sections);
    if (p->sections == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the plan of %zu units", step->units);
    }
    p->section_count = 1;
    p->sections[0] = (sotto_unit_section){.count = step->units, .pixels = 1, .decisions = step->clip ? 2 : step->sign ? 1 : 0};
    if (step->sign && step->lift != NULL) {
        p->lift = sotto_calloc(step->units, 1);
        if (p->lift == NULL) {
            return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the plan of %zu units", step->units);
        }
        memcpy(p->lift, step->lift, step->units);
        p->sections[0].lift = p->lift;
    }
    return section_sizes(&p->sections[0], step, 0, provider, ot);
}

int sotto_unit_plan_new(sotto_unit_plan *p, const sotto_step_info *step, sotto_sign_provider provider, sotto_ot_kind ot)
{
    memset(p, 0, sizeof *p);
    if (step->op != SOTTO_STEP_UNIT && step->op != SOTTO_STEP_MAX) {
        return sotto_fail(SOTTO_ERR_ARG, "a step that is neither a unit nor a maximum has no unit plan");
    }
    int status = sotto_truncation_check(step->truncation);
    if (status == SOTTO_OK) {
        p->words = step->units;
        status = plan_sections(p, step, provider, ot);
    }
    for (size_t i = 0; i < p->section_count && status == SOTTO_OK; i++) {
        const sotto_unit_section *s = &p->sections[i];
        p->client_ots += s->client_ots;
        p->server_ots += s->server_ots;
        p->client_sums += s->client_sums;
        p->server_sums += s->server_sums;
        p->bytes.matrix += s->bytes.matrix;
        p->bytes.correction += s->bytes.correction;
        p->bytes.choice += s->bytes.choice;
        p->bytes.table += s->bytes.table;
        p->bytes.offer += s->bytes.offer;
        p->bytes.reply += s->bytes.reply;
    }
    if (status != SOTTO_OK) {
        sotto_unit_plan_free(p);
    }
    return status;
}

void sotto_unit_plan_free(sotto_unit_plan *p)
{
    sotto_free(p->sections);
    sotto_free(p->value);
    sotto_free(p->lift);
    memset(p, 0, sizeof *p);
}
