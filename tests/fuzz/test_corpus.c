/* Every decoder on its valid inputs, on all their beginnings and on the inputs that are kept in tests/fuzz/corpus; no libFuzzer needed. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/support/support.h"

#define CORPUS "tests/fuzz/corpus"

static void test_seeds(void **state)
{
    const fuzz_target *t = *state;
    uint8_t *data = malloc(FUZZ_SEED_MAX);
    unsigned i = 0;
    assert_non_null(data);
    for (;; i++) {
        const size_t len = t->seed(i, data);
        if (len == 0) {
            break;
        }
        if (!t->run(data, len)) {
            fail_msg("%s: seed %u is refused: %s", t->name, i, sotto_error_message());
        }
        /* Cut anywhere: a copy, so that a sanitizer sees a read behind the end. */
        for (size_t cut = 0; cut < len; cut += 1 + len / 40) {
            uint8_t *copy = malloc(cut + 1);
            assert_non_null(copy);
            memcpy(copy, data, cut);
            (void)t->run(copy, cut);
            free(copy);
        }
    }
    assert_true(i > 0);
    free(data);
}

static void test_kept(void **state)
{
    const fuzz_target *t = *state;
    char folder[256];
    (void)snprintf(folder, sizeof folder, CORPUS "/%s", t->name);
    DIR *d = opendir(folder);
    if (d == NULL) {
        return; /* none kept for this one */
    }
    for (struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
        char path[600];
        uint8_t *data = malloc(FUZZ_SEED_MAX);
        if (entry->d_name[0] == '.') {
            free(data);
            continue;
        }
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        assert_non_null(data);
        const size_t len = fread(data, 1, FUZZ_SEED_MAX, f);
        (void)fclose(f);
        uint8_t *exact = malloc(len + (len == 0));
        assert_non_null(exact);
        memcpy(exact, data, len);
        (void)t->run(exact, len);
        free(exact);
        free(data);
    }
    (void)closedir(d);
}

int main(void)
{
    int failed = 0;
    for (size_t i = 0; fuzz_targets[i] != NULL; i++) {
        const fuzz_target *t = fuzz_targets[i];
        void *state = (void *)(uintptr_t)t;
        const struct CMUnitTest tests[] = {
            cmocka_unit_test_prestate(test_seeds, state),
            cmocka_unit_test_prestate(test_kept, state),
        };
        if (t->start != NULL) {
            t->start();
        }
        failed += cmocka_run_group_tests_name(t->name, tests, NULL, NULL);
    }
    return failed != 0;
}
