#include "nn/secure/unit_internal.h"

int sotto_unit_plan_new(sotto_unit_plan *p, const sotto_step_info *step, sotto_sign_provider provider, sotto_ot_kind ot)
{
    memset(p, 0, sizeof *p);
    if (step->op != SOTTO_STEP_UNIT && step->op != SOTTO_STEP_MAX) {
        return sotto_fail(SOTTO_ERR_ARG, "a step that is neither a unit nor a maximum has no unit plan");
    }
    int status = sotto_truncation_check(step->truncation);
    if (status != SOTTO_OK) {
        return status;
    }
    const size_t n = p->count = step->units;
    const unsigned l_next = step->truncation.l_next;
    p->truncation = step->truncation;
    p->ot = ot;
    p->widen = sotto_truncation_widen(step->truncation);
    p->sign = step->sign;
    p->correction_bytes = payload_bytes(p);
    p->choice_bytes = p->widen > 0 ? sotto_packed_bytes(n, 1) : 0;
    p->reply_bytes = sotto_packed_bytes(n, l_next);
    if (p->sign) {
        p->window = step->sign_window;
        status = sotto_sign_plan_new(&p->signs, provider, p->window.k - p->window.j, n);
        if (status != SOTTO_OK) {
            return status;
        }
        p->server_ots = n;
        p->choice_bytes += p->signs.flip_bytes + sotto_packed_bytes(n, l_next) +
                           (p->widen > 0 ? sotto_packed_bytes(n, p->widen) : 0);
        p->table_bytes = p->signs.table_bytes;
        p->offer_bytes = sotto_packed_bytes(n, l_next) + p->signs.message_bytes;
        p->reply_bytes += sotto_packed_bytes(n, 1);
    }
    p->offer_bytes += p->widen > 0 ? sotto_packed_bytes(n, 1) : 0;
    p->client_ots = n * unit_ots(p);
    p->matrix_bytes = sotto_ot_wire_bytes(ot, p->client_ots);
    p->correction_bytes += sotto_ot_wire_bytes(ot, p->server_ots);
    return SOTTO_OK;
}
