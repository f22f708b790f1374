/* Wire format of keys and ciphertexts. Fixed sizes, known from the parameters; words bit-packed to the width of each
 * prime. Every object starts with 8 bytes: type (1), version (1), log2 n (1), number of primes (1; with the special one for keys
 * that use it), and the low 32 bits of the ring's identifier, for ciphertexts of the set's (bfv/params.h). Readers check every field and
 * that each residue is below its prime; anything else is SOTTO_ERR_FORMAT (or _VERSION) naming the field. */
#ifndef SOTTO_BFV_WIRE_H
#define SOTTO_BFV_WIRE_H

#include "bfv/encrypt.h"
#include "bfv/galois.h"
#include "bfv/keyswitch.h"
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

/* A key for key switching, such as the one for relinearisation: seed, then the b parts. Parameters without a special
 * prime: 0 bytes, SOTTO_ERR_ARG in writer and reader. */
size_t sotto_bfv_switch_key_bytes(const sotto_bfv_params *p);
void sotto_bfv_switch_key_write(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_switch_key *key);
SOTTO_MUST_CHECK int sotto_bfv_switch_key_read(sotto_bfv_switch_key *key, const sotto_bfv_params *p, sotto_reader *r);

/* `count` Galois keys: their number (4 bytes), then by ascending element the element (4), seed and b parts. A reader
 * takes at most `count_max` keys (SOTTO_ERR_LIMIT), and none that the bytes at hold do not carry. SIZE_MAX bytes when the
 * size overflows. */
size_t sotto_bfv_galois_keys_bytes(const sotto_bfv_params *p, size_t count);
void sotto_bfv_galois_keys_write(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_galois_keys *keys);
SOTTO_MUST_CHECK int sotto_bfv_galois_keys_read(sotto_bfv_galois_keys *keys, const sotto_bfv_params *p, sotto_reader *r,
                                                size_t count_max);

/* The secret key, for storage: 2 bits a coefficient; any value but -1, 0, 1 is refused. */
size_t sotto_bfv_secret_key_bytes(const sotto_bfv_params *p);
void sotto_bfv_secret_key_write(sotto_writer *w, const sotto_bfv_params *p, const sotto_bfv_secret_key *sk);
SOTTO_MUST_CHECK int sotto_bfv_secret_key_read(sotto_bfv_secret_key *sk, const sotto_bfv_params *p, sotto_reader *r);

#endif
