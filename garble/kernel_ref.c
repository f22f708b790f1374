/* Portable kernel. */
#include "lib/ct.h"
#include "lib/mem.h"

#include "garble/garbling_internal.h"

typedef struct vec {
    sotto_block b[4];
} vec;

typedef struct bits {
    uint64_t mask[4];
} bits;

static vec load(const void *p)
{
    vec x;
    __builtin_memcpy(&x, p, sizeof x);
    return x;
}

static void store(void *p, vec x)
{
    __builtin_memcpy(p, &x, sizeof x);
}

static vec load_lows(const uint8_t *p)
{
    vec x;
    for (unsigned i = 0; i < 4; i++) {
        __builtin_memcpy(&x.b[i].w[0], p + 8 * i, 8);
        x.b[i].w[1] = x.b[i].w[0];
    }
    return x;
}

static void store_lows(uint8_t *p, vec x)
{
    for (unsigned i = 0; i < 4; i++)
        __builtin_memcpy(p + 8 * i, &x.b[i].w[0], 8);
}

static vec add(vec x, vec y)
{
    for (unsigned i = 0; i < 4; i++)
        x.b[i] = sotto_block_xor(x.b[i], y.b[i]);
    return x;
}

static vec sigma(vec x)
{
    for (unsigned i = 0; i < 4; i++)
        x.b[i] = (sotto_block){{x.b[i].w[1], x.b[i].w[0] ^ x.b[i].w[1]}};
    return x;
}

static uint64_t phi_word(uint64_t x)
{
    return (x >> 32 | x << 32) ^ (x & 0xffffffff00000000);
}

static vec phi(vec x)
{
    for (unsigned i = 0; i < 4; i++)
        x.b[i] = (sotto_block){{phi_word(x.b[i].w[0]), phi_word(x.b[i].w[1])}};
    return x;
}

static vec spread(sotto_block b)
{
    return (vec){{b, b, b, b}};
}

static vec tweaked(vec key, uint32_t sub)
{
    for (unsigned i = 0; i < 4; i++)
        key.b[i].w[1] ^= sub;
    return key;
}

static vec join(vec x, vec y)
{
    for (unsigned i = 0; i < 4; i++)
        x.b[i].w[1] = y.b[i].w[1];
    return x;
}

static vec lows(vec x)
{
    for (unsigned i = 0; i < 4; i++)
        x.b[i].w[1] = x.b[i].w[0];
    return x;
}

static vec highs(vec x)
{
    for (unsigned i = 0; i < 4; i++)
        x.b[i].w[0] = x.b[i].w[1];
    return x;
}

static bits lowest(vec x)
{
    bits c;
    for (unsigned i = 0; i < 4; i++)
        c.mask[i] = sotto_ct_mask(x.b[i].w[0] & 1);
    return c;
}

static bits middle(vec x)
{
    bits c;
    for (unsigned i = 0; i < 4; i++)
        c.mask[i] = sotto_ct_mask(x.b[i].w[1] & 1);
    return c;
}

static bits both(bits x, bits y)
{
    for (unsigned i = 0; i < 4; i++)
        x.mask[i] &= y.mask[i];
    return x;
}

static bits differ(bits x, bits y)
{
    for (unsigned i = 0; i < 4; i++)
        x.mask[i] ^= y.mask[i];
    return x;
}

static vec add_if(vec x, bits c, vec y)
{
    for (unsigned i = 0; i < 4; i++)
        x.b[i] = sotto_block_xor(x.b[i], sotto_block_and(y.b[i], c.mask[i]));
    return x;
}

static unsigned pack(bits c)
{
    unsigned n = 0;
    for (unsigned i = 0; i < 4; i++)
        n |= (unsigned)(c.mask[i] & 1) << i;
    return n;
}

static bits unpack(unsigned n)
{
    bits c;
    for (unsigned i = 0; i < 4; i++)
        c.mask[i] = sotto_ct_mask(n >> i & 1);
    return c;
}

enum { MOST_KEYS = 3, MOST_BLOCKS = 64 };

/* In lib/aes's order: all blocks of a key one after another. */
static void hash(vec *x, const vec *key, unsigned keys, unsigned per)
{
    sotto_block k[4 * MOST_KEYS] = {{{0}}}, in[MOST_BLOCKS] = {{{0}}}, y[MOST_BLOCKS];
    for (unsigned q = 0, at = 0; q < keys; q++)
        for (unsigned i = 0; i < 4; i++) {
            k[4 * q + i] = key[q].b[i];
            for (unsigned j = 0; j < per; j++)
                in[at++] = x[q * per + j].b[i];
        }
    sotto_aes_encrypt_rekeyed(y, in, (size_t)4 * keys * per, k, per);
    for (unsigned q = 0, at = 0; q < keys; q++)
        for (unsigned i = 0; i < 4; i++)
            for (unsigned j = 0; j < per; j++, at++)
                x[q * per + j].b[i] = sotto_block_xor(y[at], in[at]);
    /* Two of them differ by the offset. */
    sotto_wipe(in, sizeof in);
    sotto_wipe(y, sizeof y);
}

#include "garble/kernel_internal.h"

const sotto_garble_kernel sotto_garble_kernel_ref = {
    "portable", SOTTO_TIER_PORTABLE, {garble_half_gates, garble_three_halves}, {evaluate_half_gates, evaluate_three_halves},
};
