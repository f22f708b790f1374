/* `make security`: the estimate of every row of the table in bfv/params.c and of every set in use. */
#include <stdio.h>

#include "bfv/params.h"
#include "tests/security/estimate.h"

static void print_row(const char *name, uint32_t n, double log2_q)
{
    const lwe p = estimate_bfv(n, log2_q);
    const unsigned whole = (unsigned)(log2_q + 0.999999);
    (void)printf("%-28s %5u %6.1f %4d %5u ", name, (unsigned)n, log2_q, (int)sotto_bfv_max_log_q(n) - (int)whole,
                 sotto_bfv_security_bits(n, whole));
    double lowest[COSTS] = {1e9, 1e9, 1e9};
    for (attack a = PRIMAL; a < ATTACKS; a++) {
        for (cost c = CLASSICAL; c < COSTS; c++) {
            const estimate e = estimate_attack(&p, a, c);
            lowest[c] = e.bits < lowest[c] ? e.bits : lowest[c];
            if (c == CLASSICAL) {
                (void)printf(" %5u %6.0f", e.beta, e.m);
            }
            (void)printf(" %6.1f", e.bits);
        }
        (void)printf(a == PRIMAL ? "  |" : "\n");
    }
}

int main(void)
{
    (void)printf("Margin: bits of log2 q left to the bound for 128 bits. Table: security by the Homomorphic Encryption Standard. Costs: see\n"
                 "tests/security/estimate.h; `standard` counts as the table does, `classical` and `quantum` are lower bounds (core-SVP).\n\n"
                 "                                   log2        table  ------------- primal -------------  | -------------- dual --------------\n"
                 "set                              n      q  marg  bits   beta      m  class. quant. stand.  |  beta      m class. quant. stand.\n");
    for (size_t i = 0; i < estimate_set_count; i++) {
        const named_set *s = &estimate_sets[i];
        char name[64];
        int len = snprintf(name, sizeof name, "%s:", s->where);
        for (unsigned k = 0; k < s->primes; k++) {
            len += snprintf(name + len, sizeof name - (size_t)len, " %u", s->bits[k]);
        }
        print_row(name, s->n, estimate_log2_q(s));
    }
    for (unsigned level = 128; level <= 256; level += 64) {
        for (uint32_t n = 1024; n <= 32768; n *= 2) {
            unsigned log_q = sotto_bfv_max_log_q(n);
            char name[64];
            while (sotto_bfv_security_bits(n, log_q) < level) {
                log_q--;
            }
            (void)snprintf(name, sizeof name, "table, %u bits", level);
            print_row(name, n, log_q);
        }
    }
    return 0;
}
