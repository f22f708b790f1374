/* What the cases of tests/ct share. */
#ifndef SOTTO_TESTS_CT_H
#define SOTTO_TESTS_CT_H

#include "lib/rng.h"

#ifndef SOTTO_CT
#error "build with -DSOTTO_CT (make check-ct): without the marks there is nothing to see"
#endif

#define require(condition) ((condition) ? (void)0 : ct_broken(#condition, __FILE__, __LINE__))

_Noreturn void ct_broken(const char *condition, const char *file, int line);
/* Of the one thread of a case; what it gives is secret. */
sotto_rng ct_rng(void);

/* Two parties (parties.c). */
void case_ot(void);
void case_units(void);
void case_polynomials(void);
void case_label(void);
void case_session(void);

#endif
