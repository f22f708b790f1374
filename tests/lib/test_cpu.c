#include "lib/cpu.h"

#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

static void names(void **state)
{
    static const char *const name[] = {"portable", "avx2", "avx512", "ifma"};

    (void)state;
    for (int i = SOTTO_TIER_PORTABLE; i <= SOTTO_TIER_IFMA; i++) {
        assert_string_equal(name[i], sotto_tier_name((sotto_tier)i));
        assert_int_equal(i, sotto_tier_parse(name[i]));
    }
    static const char *const none[] = {"", "avx", "AVX2", "avx2 ", "unknown", "ifma512"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(-1, sotto_tier_parse(none[i]));
    assert_string_equal("unknown", sotto_tier_name((sotto_tier)4));
}

static void cap(void **state)
{
    (void)state;
    const sotto_tier best = sotto_cpu_tier();
    for (int i = SOTTO_TIER_PORTABLE; i <= SOTTO_TIER_IFMA; i++) {
        sotto_cpu_force_tier((sotto_tier)i);
        assert_int_equal((int)best < i ? (int)best : i, (int)sotto_cpu_tier());
        assert_int_equal((int)best >= SOTTO_TIER_AVX2 && i >= SOTTO_TIER_AVX2, sotto_cpu_has_aesni());
    }
    sotto_cpu_force_tier(SOTTO_TIER_IFMA);
    assert_int_equal(best, sotto_cpu_tier());
}

static int has_all(const char *flags, const char *const *names)
{
    for (; *names; names++) {
        char word[32];
        (void)snprintf(word, sizeof word, " %s ", *names);
        if (!strstr(flags, word))
            return 0;
    }
    return 1;
}

/* The kernel's list is made by code of its own, and leaves out what it does not let programs use. */
static void agrees_with_the_kernel(void **state)
{
    static const char *const needs[][5] = {
        {"avx2", "aes"},
        {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
        {"avx512ifma", "vaes", "gfni"},
    };
    char line[8192];
    int want = SOTTO_TIER_PORTABLE, found = 0;
    FILE *f = fopen("/proc/cpuinfo", "r");

    (void)state;
    if (!f)
        skip();
    while (!found && fgets(line, sizeof line, f))
        found = strncmp(line, "flags", 5) == 0;
    (void)fclose(f);
    if (!found)
        skip();
    line[strcspn(line, "\n")] = ' ';
    while (want < SOTTO_TIER_IFMA && has_all(line, needs[want]))
        want++;
    assert_int_equal(want, (int)sotto_cpu_tier());
}

static void brand(void **state)
{
    char whole[64], part[64];

    (void)state;
    sotto_cpu_brand(whole, sizeof whole);
    const size_t len = strlen(whole);
    assert_true(len > 0 && len <= 48);
    assert_true(whole[0] != ' ' && whole[len - 1] != ' ');
    for (unsigned size = 1; size < sizeof part; size++) {
        memset(part, '#', sizeof part);
        sotto_cpu_brand(part, size);
        const size_t want = len < size ? len : size - 1;
        assert_int_equal(want, strlen(part));
        assert_memory_equal(whole, part, want);
        assert_int_equal('#', part[size]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(cap),
        cmocka_unit_test(agrees_with_the_kernel),
        cmocka_unit_test(brand),
    };
    return cmocka_run_group_tests_name("lib/cpu", tests, NULL, NULL);
}
