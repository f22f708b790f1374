#include "garble/halfgates.h"

size_t sotto_garble_table_blocks(const sotto_circuit *c, size_t instances)
{
    const size_t per = 2 * (size_t)c->and_count + c->and_eval_count;
    return per && instances > SIZE_MAX / 2 / sizeof(sotto_block) / per ? SIZE_MAX : per * instances;
}

int sotto_garble(const sotto_circuit *c, const sotto_hash *hash, sotto_block offset, uint64_t first, size_t instances,
                 const sotto_block *in_zero, sotto_block *tables, sotto_block *out_zero)
{
    sotto_garbling *g;
    int rc = sotto_garbling_new(&g, c, SOTTO_HALF_GATES);
    if (rc)
        return rc;
    rc = sotto_garble_tables(&(sotto_garble_job){g, *hash, first, instances}, offset, in_zero, (uint8_t *)tables, out_zero);
    sotto_garbling_free(g);
    return rc;
}

int sotto_evaluate(const sotto_circuit *c, const sotto_hash *hash, uint64_t first, size_t instances, const sotto_block *in,
                   const sotto_block *tables, sotto_block *out)
{
    sotto_garbling *g;
    int rc = sotto_garbling_new(&g, c, SOTTO_HALF_GATES);
    if (rc)
        return rc;
    rc = sotto_garble_evaluate(&(sotto_garble_job){g, *hash, first, instances}, in, (const uint8_t *)tables, out);
    sotto_garbling_free(g);
    return rc;
}
