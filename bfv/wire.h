/* Wire format of keys and ciphertexts. Fixed sizes, known from the parameters; words bit-packed to the width of each
 * prime. Every object starts with 8 bytes: type (1), version (1), log2 n (1), number of primes (1), and the low 32
 * bits of the sum of the primes. Readers check every field and that each residue is below its prime; anything else is
 * SOTTO_ERR_FORMAT (or _VERSION) naming the field. */
#ifndef SOTTO_BFV_WIRE_H
#define SOTTO_BFV_WIRE_H

#include "bfv/encrypt.h"
#include "lib/bytes.h"

size_t sotto_bfv_public_key_bytes(const sotto_bfv_params *p);
void sotto_bfv_public_key_write(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_public_key *pk);
SOTTO_MUST_CHECK int sotto_bfv_public_key_read(sotto_bfv_public_key *pk, const sotto_bfv_params *p, sotto_reader *r);

/* A symmetric ciphertext: seed and c0 (converted to coefficient form is not needed: residues travel in NTT form). */
size_t sotto_bfv_seeded_bytes(const sotto_bfv_params *p);
void sotto_bfv_seeded_write(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_ct *ct, sotto_block seed);
/* Makes ct (sotto_bfv_ct_new inside) in NTT form. */
SOTTO_MUST_CHECK int sotto_bfv_seeded_read(sotto_bfv_ct *ct, const sotto_bfv_params *p, sotto_reader *r);

/* A whole ciphertext, in the form it is in (one flag byte). */
size_t sotto_bfv_ct_bytes(const sotto_bfv_params *p);
void sotto_bfv_ct_write(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_ct *ct);
SOTTO_MUST_CHECK int sotto_bfv_ct_read(sotto_bfv_ct *ct, const sotto_bfv_params *p, sotto_reader *r);

/* The secret key, for storage: 2 bits a coefficient; any value but -1, 0, 1 is refused. */
size_t sotto_bfv_secret_key_bytes(const sotto_bfv_params *p);
void sotto_bfv_secret_key_write(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk);
SOTTO_MUST_CHECK int sotto_bfv_secret_key_read(sotto_bfv_secret_key *sk, const sotto_bfv_params *p, sotto_reader *r);

#endif
