/* Half-gates garbling (Zahur, Rosulek, Evans, "Two halves make a whole", eprint 2014/756, figure 2) with free XOR and point-and-permute; the hash is
 * lib/hash.h in SOTTO_DOMAIN_GARBLE, keyed anew for every half of every gate of every instance.
 *
 * Many instances of one circuit run in lockstep. Arrays of labels are wire-major, [wire][instance]; tables are
 * [AND gate][instance][2]. To stream, garble and evaluate fewer instances a call with `first` moved on.
 * A label's permute bit is its lowest bit; zero label, one label = zero label xor offset. Constant time in labels, offset and permute bits.
 */
#ifndef SOTTO_GARBLE_HALFGATES_H
#define SOTTO_GARBLE_HALFGATES_H

#include "garble/circuit.h"
#include "lib/hash.h"

/* Blocks of the tables of `instances` instances: 2 * and_count * instances; SIZE_MAX when that overflows. */
size_t sotto_garble_table_blocks(const sotto_circuit *c, size_t instances);

/* Garbles instances first, first + 1, ... under `offset` (lowest bit 1, else SOTTO_ERR_ARG). in_zero: [inputs][instances] zero labels, out_zero:
 * [output_count][instances]. No pair (salt, instance number) may ever be garbled twice under one offset. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_garble(const sotto_circuit *c, const sotto_hash *hash, sotto_block offset, uint64_t first,
                                  size_t instances, const sotto_block *in_zero, sotto_block *tables, sotto_block *out_zero);
/* Evaluates with one label per wire: in[inputs][instances] -> out[output_count][instances]. Wrong labels or tables give wrong labels, no
 * failure: there is nothing to check against. SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_evaluate(const sotto_circuit *c, const sotto_hash *hash, uint64_t first, size_t instances,
                                    const sotto_block *in, const sotto_block *tables, sotto_block *out);

/* 0 or 1. */
static inline unsigned sotto_permute_bit(sotto_block label)
{
    return (unsigned)(label.w[0] & 1);
}

#endif
