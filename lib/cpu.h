/* What the CPU can do. The only file that asks the processor; kernel tables are chosen from its answer. */
#ifndef SOTTO_LIB_CPU_H
#define SOTTO_LIB_CPU_H

typedef enum sotto_tier { /* each tier includes those before it */
    SOTTO_TIER_PORTABLE = 0,
    SOTTO_TIER_AVX2 = 1,   /* AVX2, FMA and AES-NI */
    SOTTO_TIER_AVX512 = 2, /* AVX-512 F, BW, DQ, VL */
    SOTTO_TIER_IFMA = 3    /* AVX-512 IFMA, VBMI, VAES, GFNI */
} sotto_tier;

/* Best tier that the CPU and the operating system support, or the forced one if that is lower. */
sotto_tier sotto_cpu_tier(void);
/* 1 if AES-NI may be used under the tier in force. */
int sotto_cpu_has_aesni(void);
/* Caps the tier for what is created afterwards (tests and `sotto bench --tier`); a cap above the CPU's own has no effect. */
void sotto_cpu_force_tier(sotto_tier cap);
/* "portable", "avx2", "avx512", "ifma". */
const char *sotto_tier_name(sotto_tier tier);
/* Parses such a name; -1 if it is none. */
int sotto_tier_parse(const char *name);
/* CPU brand string for reports, e.g. "AMD EPYC ..."; "unknown" where the CPU does not tell. Writes at most `cap` bytes. */
void sotto_cpu_brand(char *out, unsigned cap);

#endif
