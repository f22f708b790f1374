/* Published functions as circuits: to measure with, and to run known answers through everything that takes circuits.
 * All give an empty circuit when they fail: SOTTO_ERR_ARG (a width), SOTTO_ERR_MEMORY. */
#ifndef SOTTO_GARBLE_LIBRARY_H
#define SOTTO_GARBLE_LIBRARY_H

#include "garble/word.h"

/* x + y mod 2^bits, 1 to 64: x | y. bits - 1 AND. */
SOTTO_MUST_CHECK int sotto_circuit_adder(sotto_circuit *c, unsigned bits);
/* AES-128 encryption of a block, key schedule included: key | block, 128 outputs. 16 bytes are one number, the first
 * byte most significant, and its lowest bit comes first, as in the published AES-128 of Bristol Fashion. 200 S-boxes
 * of 32 AND: 6,400 AND, the published count. */
SOTTO_MUST_CHECK int sotto_circuit_aes128(sotto_circuit *c);
/* SHA-256's compression function [FIPS 180-4, 6.2.2]: state of 256 bits | message block of 512 bits, 256 outputs;
 * numbers as above, so H0 is at the top. 600 additions of 31 AND, 64 of them of a constant of t zeros at its end and
 * 1 + t cheaper, and 64 AND for ch and maj in each of 64 rounds: 22,573 AND, the published count. */
SOTTO_MUST_CHECK int sotto_circuit_sha256(sotto_circuit *c);

#endif
