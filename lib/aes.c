#include "lib/aes.h"

#include "lib/aes_kernel.h"
#include "lib/cpu.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a sotto_block's bytes are those of little-endian words");

static const sotto_aes_kernel *kernel(void)
{
#if defined(__x86_64__)
    if (sotto_cpu_has_aesni())
        return &sotto_aes_kernel_ni;
#endif
    return &sotto_aes_kernel_ref;
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
