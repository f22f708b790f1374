#include "lib/aes.h"

#include "lib/aes_kernel.h"
#include "lib/cpu.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a sotto_block's bytes are those of little-endian words");

/* The fastest kernel that the tier in force has. */
static const sotto_aes_kernel *kernel(void)
{
    static const sotto_aes_kernel *const kernels[] = {
#if defined(__x86_64__)
        &sotto_aes_kernel_vaes,
        &sotto_aes_kernel_ni,
#endif
        &sotto_aes_kernel_ref,
    };
    const sotto_tier tier = sotto_cpu_tier();
    size_t i = 0;

    while (kernels[i]->tier > tier)
        i++; /* the last one runs everywhere */
    return kernels[i];
}

const char *sotto_aes_tier(void)
{
    return kernel()->name;
}

void sotto_aes_expand(sotto_aes_key *key, sotto_block k)
{
    kernel()->expand(key, k);
}

void sotto_aes_encrypt(const sotto_aes_key *key, sotto_block *out, const sotto_block *in, size_t count)
{
    kernel()->encrypt(key, out, in, count);
}

void sotto_aes_encrypt_rekeyed(sotto_block *out, const sotto_block *in, size_t count, const sotto_block *k, size_t per)
{
    kernel()->encrypt_rekeyed(out, in, count, k, per);
}

void sotto_aes_counter(const sotto_aes_key *key, void *out, uint64_t first, size_t count)
{
    kernel()->counter(key, out, first, count);
}
