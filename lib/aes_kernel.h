/* The table that aes_portable.c and aes_ni.c fill and aes.c chooses from. All kernels compute the same, with the same
 * format of expanded keys, so that a key expanded by one may be used by another. Internal to lib and its tests. */
#ifndef SOTTO_LIB_AES_KERNEL_H
#define SOTTO_LIB_AES_KERNEL_H

#include "lib/aes.h"

typedef struct sotto_aes_kernel { /* contracts: lib/aes.h */
    void (*expand)(sotto_aes_key *key, sotto_block k);
    void (*encrypt)(const sotto_aes_key *key, sotto_block *out, const sotto_block *in, size_t count);
    void (*encrypt_rekeyed)(sotto_block *out, const sotto_block *in, size_t count, const sotto_block *k, size_t per);
} sotto_aes_kernel;

/* The round constants of [FIPS 197, 5.2]: powers of x in GF(2^8). */
#define SOTTO_AES_RCON {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36}

extern const sotto_aes_kernel sotto_aes_kernel_ref;
#if defined(__x86_64__)
extern const sotto_aes_kernel sotto_aes_kernel_ni; /* to be called only where sotto_cpu_has_aesni() says so */
#endif

#endif
