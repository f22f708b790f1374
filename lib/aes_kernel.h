/* The table that aes_portable.c, aes_ni.c and aes_vaes.c fill and aes.c chooses from. All kernels compute the same, with
 * the same format of expanded keys, so that a key expanded by one may be used by another. Internal to lib and its tests. */
#ifndef SOTTO_LIB_AES_KERNEL_H
#define SOTTO_LIB_AES_KERNEL_H

#include "lib/aes.h"
#include "lib/cpu.h"

typedef struct sotto_aes_kernel { /* contracts: lib/aes.h */
    const char *name;
    sotto_tier tier; /* the CPU that it needs */
    void (*expand)(sotto_aes_key *key, sotto_block k);
    void (*encrypt)(const sotto_aes_key *key, sotto_block *out, const sotto_block *in, size_t count);
    void (*encrypt_rekeyed)(sotto_block *out, const sotto_block *in, size_t count, const sotto_block *k, size_t per);
    void (*counter)(const sotto_aes_key *key, void *out, uint64_t first, size_t count);
} sotto_aes_kernel;

/* The round constants of [FIPS 197, 5.2]: powers of x in GF(2^8). */
#define SOTTO_AES_RCON {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36}

extern const sotto_aes_kernel sotto_aes_kernel_ref;
/* The vector kernels; to be called only on a CPU of their tier. */
#if defined(__x86_64__)
extern const sotto_aes_kernel sotto_aes_kernel_ni;
extern const sotto_aes_kernel sotto_aes_kernel_vaes;
#endif

#endif
