/* Tweakable circular-correlation-robust hash of 128-bit blocks, for OT keys and garbled gates:
 *
 *     H(x, tweak) = AES_K(sigma(x)) xor sigma(x),   K = salt xor tweak,   sigma(L, R) = (R, L xor R)
 *
 * with L the low and R the high word (Guo, Katz, Wang, Yu, "Better concrete security for half-gates garbling",
 * eprint 2019/1168, section 7.2: the key of the ideal cipher is the tweak, sigma is a linear orthomorphism).
 * Keying the cipher by the tweak keeps the concrete security independent of the number of gates and of sessions
 * with different salts. Tweaks never repeat under one salt for different uses:
 *
 *     tweak = domain (8 bits) | direction (8) | word (16) | sub (32) | counter (64), 128 bits, domain the highest
 */
#ifndef SOTTO_LIB_HASH_H
#define SOTTO_LIB_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "lib/aes.h"

typedef enum sotto_hash_domain {
    SOTTO_DOMAIN_OT = 1,     /* counter = OT index, sub = 0 */
    SOTTO_DOMAIN_GARBLE = 2, /* garble/garbling.h: word = scheme, sub = gate and place, counter = four instances */
    SOTTO_DOMAIN_BASE = 3,   /* the base OTs that an extension step gives: counter = number, sub = 0 */
    SOTTO_DOMAIN_TREE = 4,   /* trees of silent OT: counter = tree */
    SOTTO_DOMAIN_CODE = 5,   /* public code of silent OT: counter = round */
    SOTTO_DOMAIN_TEST = 255
} sotto_hash_domain;

typedef struct sotto_hash {
    sotto_block salt; /* fresh per session, known to both parties, not secret */
    uint8_t domain;
    uint8_t direction; /* 0: the session's client is the sender or garbler, 1: its server */
} sotto_hash;

/* The cipher key for a tweak. */
sotto_block sotto_hash_key(const sotto_hash *h, uint16_t word, uint32_t sub, uint64_t counter);

/* out[i * per + j] = H(x[i * per + j]; word, sub, counter + i), i < count, j < per: `per` blocks (1 to 8) share a
 * tweak, as the two or four hashes of one gate do. out may equal x. */
void sotto_hash_blocks(const sotto_hash *h, uint16_t word, uint32_t sub, uint64_t counter, sotto_block *out,
                       const sotto_block *x, size_t count, unsigned per);

/* Both keys of OTs: out0[i] = H(x[i]), out1[i] = H(x[i] xor offset), each with the tweak (word, sub, counter + i), i
 * < count. out0 or out1 may equal x. */
void sotto_hash_pairs(const sotto_hash *h, uint16_t word, uint32_t sub, uint64_t counter, sotto_block *out0,
                      sotto_block *out1, const sotto_block *x, sotto_block offset, size_t count);

#endif
