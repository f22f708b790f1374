#include "lib/cpu.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

#define BIT(n) (1u << (n))

/* Registers that the operating system saves, [Intel SDM vol. 1, 13.3]: a CPU may have ymm or zmm registers that a
 * kernel or hypervisor does not let programs use. */
enum { XCR0_YMM = 0x06, XCR0_ZMM = 0xe6 };

static uint32_t xcr0_low(void)
{
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int all(uint32_t word, uint32_t bits)
{
    return (word & bits) == bits;
}

static sotto_tier detect(void)
{
    uint32_t a, b, c, d, ecx1;

    if (!__get_cpuid(1, &a, &b, &ecx1, &d) || !all(ecx1, bit_OSXSAVE | bit_AVX | bit_FMA | bit_AES | bit_SSSE3))
        return SOTTO_TIER_PORTABLE;
    const uint32_t saved = xcr0_low();
    if (!all(saved, XCR0_YMM) || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !all(b, BIT(5) /* AVX2 */))
        return SOTTO_TIER_PORTABLE;
    if (!all(saved, XCR0_ZMM) || !all(b, BIT(16) | BIT(17) | BIT(30) | BIT(31) /* AVX-512 F, DQ, BW, VL */))
        return SOTTO_TIER_AVX2;
    if (!all(b, BIT(21) /* IFMA */) || !all(c, BIT(1) | BIT(8) | BIT(9) /* VBMI, GFNI, VAES */))
        return SOTTO_TIER_AVX512;
    return SOTTO_TIER_IFMA;
}

static void read_brand(char brand[49])
{
    uint32_t r[12];

    for (unsigned i = 0; i < 3; i++) {
        if (!__get_cpuid(0x80000002u + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]))
            return;
    }
    memcpy(brand, r, 48);
}

#else

static sotto_tier detect(void)
{
    return SOTTO_TIER_PORTABLE;
}

static void read_brand(char brand[49])
{
    (void)brand;
}

#endif

static atomic_int tier_cap = SOTTO_TIER_IFMA;

sotto_tier sotto_cpu_tier(void)
{
    static atomic_int detected = -1;

    /* Two threads that come here first at once both detect the same. */
    int tier = atomic_load_explicit(&detected, memory_order_relaxed);
    if (tier < 0) {
        tier = (int)detect();
        atomic_store_explicit(&detected, tier, memory_order_relaxed);
    }
    const int cap = atomic_load_explicit(&tier_cap, memory_order_relaxed);
    return (sotto_tier)(tier < cap ? tier : cap);
}

int sotto_cpu_has_aesni(void)
{
    return sotto_cpu_tier() >= SOTTO_TIER_AVX2;
}

void sotto_cpu_force_tier(sotto_tier cap)
{
    atomic_store(&tier_cap, (int)cap);
}

static const char *const tier_names[] = {"portable", "avx2", "avx512", "ifma"};
enum { TIERS = sizeof tier_names / sizeof tier_names[0] };

const char *sotto_tier_name(sotto_tier tier)
{
    return (int)tier >= 0 && (int)tier < TIERS ? tier_names[tier] : "unknown";
}

int sotto_tier_parse(const char *name)
{
    for (int i = 0; i < TIERS; i++) {
        if (strcmp(name, tier_names[i]) == 0)
            return i;
    }
    return -1;
}

void sotto_cpu_brand(char *out, unsigned cap)
{
    char brand[49] = "";

    read_brand(brand);
    const char *start = brand + strspn(brand, " ");
    size_t len = strlen(start);
    while (len > 0 && start[len - 1] == ' ')
        len--;
    (void)snprintf(out, cap, "%.*s", (int)len, len ? start : "");
    if (!len)
        (void)snprintf(out, cap, "unknown");
}
