/* Garbling of many instances of one circuit in lockstep, tables in memory or streamed through a channel. Two schemes behind one interface, both with free XOR,
 * free NOT and point-and-permute:
 *
 *     half-gates    Zahur, Rosulek, Evans, "Two halves make a whole", eprint 2014/756, figure 2: 32 bytes an AND.
 *     three-halves  Rosulek, Roy, "Three halves make a whole? Beating the half-gates lower bound for garbled circuits", eprint 2021/749: 24 bytes and 3 bits
 *                   an AND, for half as many hashes again.
 *
 * An AND whose second input the evaluator knows (SOTTO_GATE_AND_EVAL) is one half-gate in both: 16 bytes.
 *
 * In memory: offset = random with lowest bit 1; a random zero label for every input and instance. sotto_garble_tables gives tables and the outputs' zero labels. The
 * evaluator gets zero label xor (bit ? offset : 0) of every input (its own by OT), sotto_garble_evaluate gives its output labels; an output bit is the permute bit of that label
 * xor the permute bit of the zero label.
 *
 * A label's permute bit is its lowest bit; one label = zero label xor offset, the offset's lowest bit is 1. Arrays of labels are wire-major, [wire][instance].
 * Constant time in labels, offset, permute bits and the evaluator's known bits.
 *
 * Hash and keys. H(x) = AES_K(y) xor y with y = L(x) xor j, L a linear bijection (lib/hash.h; three-halves: garble/kernel_internal.h), K = salt xor tweak. Instances are
 * taken in aligned batches of 16; the four of a batch whose numbers agree modulo 4 share the keys of a gate and differ in j = floor((instance mod 16) / 4), which keeps
 * their inputs apart even on wires that are constant:
 *
 *     tweak: word = scheme, sub = 2 gate + half (half-gates) or 3 gate + place (three-halves; place 0: a, 1: b, 2: a xor b),
 *            counter = 4 floor(instance / 16) + instance mod 4
 *
 * so a key serves 4 instances, 8 calls of the garbler and 4 of the evaluator, and never two places of one gate. Let p be the attacker's cipher calls and q the
 * hashes that it lacks, over everything garbled under one offset (127 random bits). In the ideal-cipher model its advantage is at most
 *
 *     2 mu p / 2^127 + (mu - 1) q / 2^127,     mu = 4 uses of a tweak       [GKWY20, eprint 2019/1168, theorem on the re-keyed hash]
 *
 * for a cipher call under one key can meet only the hashes of that key. 2^10 inferences of a ResNet-50 under one offset (9.6 million signs of up to 23 AND, 2 hashes lacking
 * in each: q < 2^38.8) give p / 2^124 + 2^-86; without re-keying mu would be q and the first term p / 2^87. Three-halves lacks 3 hashes an AND and has 126 unknown bits before
 * each: p / 2^123 + 2^-85. The bound wants the four inputs of a key to be different, which j does whatever the labels are: also where all instances share a label.
 */
#ifndef SOTTO_GARBLE_GARBLING_H
#define SOTTO_GARBLE_GARBLING_H

#include "garble/circuit.h"
#include "lib/chan.h"
#include "lib/hash.h"

typedef enum sotto_garble_scheme { SOTTO_HALF_GATES, SOTTO_THREE_HALVES } sotto_garble_scheme;
#define SOTTO_GARBLE_SCHEMES 2

/* A circuit made ready for a scheme: holds no secret, may serve several threads at once, and outlives the circuit. */
typedef struct sotto_garbling sotto_garbling;

/* SOTTO_ERR_MEMORY, SOTTO_ERR_ARG (scheme), or the circuit's own failure. */
SOTTO_MUST_CHECK int sotto_garbling_new(sotto_garbling **out, const sotto_circuit *c, sotto_garble_scheme scheme);
/* NULL is fine. */
void sotto_garbling_free(sotto_garbling *g);

/* What one garbling belongs to. No pair (salt, instance number) may ever be garbled twice under one offset. */
typedef struct sotto_garble_job {
    const sotto_garbling *g;
    sotto_hash hash;  /* of SOTTO_DOMAIN_GARBLE */
    uint64_t first;   /* number of the first instance, at most 2^64 - 1 - instances; multiples of 16 are fastest */
    size_t instances;
} sotto_garble_job;

/* Bytes of the tables; SIZE_MAX when that overflows. They depend on how `first` lies in its batch of 16, in three-halves only. Order: [batch][AND gate][part][instance
 * of the batch], parts being the two blocks of half-gates, or block, word and three bits, the bits of a gate packed. */
size_t sotto_garble_bytes(const sotto_garble_job *job);
/* The same for a circuit of so many SOTTO_GATE_AND and SOTTO_GATE_AND_EVAL, at most 2^24 together, when `first` is a multiple of 16. */
size_t sotto_garble_gate_bytes(sotto_garble_scheme scheme, uint32_t ands, uint32_t evals, size_t instances);

/* Garbler: in_zero [inputs][instances] zero labels, out_zero [outputs][instances]. Inputs that an AND_EVAL reads have zero labels with lowest bit 0.
 * SOTTO_ERR_ARG (domain, offset, numbers), SOTTO_ERR_MEMORY; out_zero is then untouched or zero. */
SOTTO_MUST_CHECK int sotto_garble_tables(const sotto_garble_job *job, sotto_block offset, const sotto_block *in_zero, uint8_t *tables,
                                         sotto_block *out_zero);
/* Evaluator: one label per wire, in [inputs][instances] -> out [outputs][instances]. Wrong labels or tables give wrong labels and
 * no failure: there is nothing to check against. Errors as above. */
SOTTO_MUST_CHECK int sotto_garble_evaluate(const sotto_garble_job *job, const sotto_block *in, const uint8_t *tables, sotto_block *out);

/* The same with the tables going through a channel, sotto_garble_bytes of them from garbler to evaluator and nothing back: the garbler makes about 1 MB while the last 1 MB
 * is on its way and keeps no more than that; the evaluator evaluates what has come and drops it. sotto_garble_send flushes. An evaluator whose input
 * is not known yet keeps the bytes (sotto_garble_keep) and evaluates later. Errors as above or the channel's. */
SOTTO_MUST_CHECK int sotto_garble_send(const sotto_garble_job *job, sotto_block offset, const sotto_block *in_zero, sotto_chan *chan,
                                       sotto_block *out_zero);
SOTTO_MUST_CHECK int sotto_garble_recv(const sotto_garble_job *job, const sotto_block *in, sotto_chan *chan, sotto_block *out);

/* A channel to oneself through a nameless temporary file in `folder`: what is sent is received, in order, once. Closing it gives the space back. Tables are safe there:
 * alone they tell nothing. SOTTO_ERR_IO, SOTTO_ERR_MEMORY. */
SOTTO_MUST_CHECK int sotto_garble_store_new(sotto_chan *out, const char *folder);
/* Moves `bytes` from one channel to another, 1 MB at a time. SOTTO_ERR_MEMORY or the channels' errors. */
SOTTO_MUST_CHECK int sotto_garble_keep(sotto_chan *to, sotto_chan *from, size_t bytes);

/* 0 or 1. */
static inline unsigned sotto_permute_bit(sotto_block label)
{
    return (unsigned)(label.w[0] & 1);
}

/* The label of a wire whose bit the evaluator knows, from a label with any permute bit: the garbler puts bit 0 to its zero label, the evaluator its own bit
 * to its label. */
static inline sotto_block sotto_label_known(sotto_block label, unsigned bit)
{
    sotto_block known = {{(label.w[0] & ~(uint64_t)1) | bit, label.w[1]}};
    return known;
}

#endif
