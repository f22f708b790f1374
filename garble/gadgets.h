/* Circuits of the protocol, made of the words of word.h. AND counts are exact and tested.
 *
 * A value of k bits (two's complement) is shared as (garbler's + evaluator's) mod 2^k, least significant bit first,
 * value after value. Where a value comes out shared again, the evaluator's inputs end with its new share, r: the
 * outputs, k bits, are the garbler's new share, result - r. The evaluator sends the permute bits of its output labels,
 * k bits a value, and the garbler, who alone can decode them, has its share: one exchange, and r may be known long
 * before.
 *
 * The evaluator knows its shares: after sotto_circuit_known_inputs the lowest AND of every sum of shares and of the
 * subtraction of r costs half. That is 1 AND of a sign, 2 of relu and clip, count + 1 of max, count of argmax.
 *
 * All give an empty circuit when they fail: SOTTO_ERR_ARG (a width or count outside the range), SOTTO_ERR_LIMIT,
 * SOTTO_ERR_MEMORY.
 */
#ifndef SOTTO_GARBLE_GADGETS_H
#define SOTTO_GARBLE_GADGETS_H

#include "garble/word.h"

/* Carry of the low u - 1 bits of a sign decision over u bits, 2 <= u <= 65: u - 1 inputs from each side, one output,
 * u - 1 AND. The top bits of both shares are xored in outside the circuit. */
SOTTO_MUST_CHECK int sotto_circuit_sign(sotto_circuit *c, unsigned u);
/* max(y, 0) of k bits, 2 <= k <= 64: inputs a | c, r; shared again. 3k - 3 AND: k - 1 for y = a + c, k - 1 for its
 * low bits times not sign, k - 1 for the subtraction of r. */
SOTTO_MUST_CHECK int sotto_circuit_relu(sotto_circuit *c, unsigned bits);
/* min(max(y, 0), high) of k bits with a public bound, 3 <= k <= 64, 1 <= high < 2^(k-1) - 1: inputs a | c, r; shared
 * again. With b the bits of high and t the zeros at the end of high + 1, 3k - 3 + b - t AND: k - 1 for y, k - 2 - t
 * for y > high, 1 for "and not negative", b to take y or high, k - 1 for r. So a bound 2^b - 1 costs what max(y, 0)
 * does. Other lower bounds: the parties add public constants to their shares before and after. */
SOTTO_MUST_CHECK int sotto_circuit_clip(sotto_circuit *c, unsigned bits, uint64_t high);
/* The largest of `count` values of k bits: inputs a_0, a_1, ... | c_0, c_1, ..., r; shared again. count 1 to 65536,
 * k 2 to 64. AND: count (k - 1) + (count - 1) 2k + k - 1. */
SOTTO_MUST_CHECK int sotto_circuit_max(sotto_circuit *c, uint32_t count, unsigned bits);
/* Index of the largest of `count` values of k bits, the lowest index where several are: inputs a_0, a_1, ... | c_0,
 * c_1, ...; ceil(log2 count) outputs in the clear, lowest bit first. count 2 to 65536, k 2 to 64. AND: count (k - 1)
 * + (count - 1) k + (count - 2) k + sum over 2^b < count of (count - 1 - 2^b). */
SOTTO_MUST_CHECK int sotto_circuit_argmax(sotto_circuit *c, uint32_t count, unsigned bits);

#endif
