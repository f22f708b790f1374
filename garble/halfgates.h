/* Half-gates for whoever garbles a circuit once or twice and keeps its tables in memory: garble/garbling.h without its objects. The circuit is compiled in
 * every call, which costs as much as garbling a few instances. */
#ifndef SOTTO_GARBLE_HALFGATES_H
#define SOTTO_GARBLE_HALFGATES_H

#include "garble/garbling.h"

/* Blocks of the tables of `instances` instances: two for an AND, one for an AND_EVAL; SIZE_MAX when that overflows. */
size_t sotto_garble_table_blocks(const sotto_circuit *c, size_t instances);

/* Garbles instances first, first + 1, ... under `offset` (lowest bit 1, else SOTTO_ERR_ARG). in_zero: [inputs][instances] zero labels, out_zero:
 * [output_count][instances]. No pair (salt, instance number) may ever be garbled twice under one offset. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_garble(const sotto_circuit *c, const sotto_hash *hash, sotto_block offset, uint64_t first,
                                  size_t instances, const sotto_block *in_zero, sotto_block *tables, sotto_block *out_zero);
/* Evaluates with one label per wire: in[inputs][instances] -> out[output_count][instances]. Wrong labels or tables give wrong labels, no
 * failure: there is nothing to check against. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_evaluate(const sotto_circuit *c, const sotto_hash *hash, uint64_t first, size_t instances,
                                    const sotto_block *in, const sotto_block *tables, sotto_block *out);

#endif
