#include "tests/support/support.h"

#include <pthread.h>
#include <string.h>

static void names(void **state)
{
    (void)state;
    assert_string_equal("SOTTO_OK", sotto_status_name(SOTTO_OK));
    assert_string_equal("SOTTO_ERR_IO", sotto_status_name(SOTTO_ERR_IO));
    assert_string_equal("SOTTO_ERR_UNSUPPORTED", sotto_status_name(SOTTO_ERR_UNSUPPORTED));
    /* Every code has a name of its own. */
    for (int i = SOTTO_ERR_UNSUPPORTED; i < 0; i++) {
        for (int j = i + 1; j <= 0; j++)
            assert_string_not_equal(sotto_status_name(i), sotto_status_name(j));
        assert_string_not_equal("unknown status", sotto_status_name(i));
    }
    const int unknown[] = {1, SOTTO_ERR_UNSUPPORTED - 1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_string_equal("unknown status", sotto_status_name(unknown[i]));
}

static void message_and_context(void **state)
{
    (void)state;
    assert_string_equal("", sotto_error_message());
    assert_int_equal(SOTTO_ERR_ARG, sotto_fail_context(SOTTO_ERR_ARG, "alone"));
    assert_string_equal("alone", sotto_error_message());
    assert_int_equal(SOTTO_ERR_IO, sotto_fail(SOTTO_ERR_IO, "field %d of %s", 3, "x"));
    assert_string_equal("field 3 of x", sotto_error_message());
    assert_int_equal(SOTTO_ERR_IO, sotto_fail_context(SOTTO_ERR_IO, "file %s", "m.sotto"));
    assert_string_equal("file m.sotto: field 3 of x", sotto_error_message());
    assert_int_equal(SOTTO_ERR_IO, sotto_fail_context(SOTTO_ERR_IO, "loading"));
    assert_string_equal("loading: file m.sotto: field 3 of x", sotto_error_message());
}

static void arguments_may_be_the_message(void **state)
{
    (void)state;
    assert_int_equal(-1, sotto_fail(-1, "inner"));
    assert_int_equal(-1, sotto_fail(-1, "<%s> <%s>", sotto_error_message(), sotto_error_message()));
    assert_string_equal("<inner> <inner>", sotto_error_message());
    assert_int_equal(-1, sotto_fail_context(-1, "again %s", sotto_error_message()));
    assert_string_equal("again <inner> <inner>: <inner> <inner>", sotto_error_message());
}

/* Every way the two parts can share 511 bytes. */
static void cut(void **state)
{
    char text[601];

    (void)state;
    for (int inner = 0; inner <= 600; inner += 50) {
        for (int outer = 0; outer <= 600; outer++) {
            char want[1300];
            memset(text, 'i', sizeof text);
            assert_int_equal(-2, sotto_fail(-2, "%.*s", inner, text));
            memset(text, 'o', sizeof text);
            assert_int_equal(-2, sotto_fail_context(-2, "%.*s", outer, text));
            const int kept = inner < 511 ? inner : 511;
            memset(want, 'o', (size_t)outer);
            if (kept)
                memcpy(want + outer, ": ", 2);
            memset(want + outer + 2, 'i', (size_t)kept);
            want[kept ? outer + 2 + kept : outer] = 0;
            want[511] = 0;
            assert_string_equal(want, sotto_error_message());
        }
    }
}

static void *other_thread(void *arg)
{
    int *ok = arg;

    *ok = sotto_error_message()[0] == 0 && sotto_fail(-3, "other") == -3 && strcmp(sotto_error_message(), "other") == 0;
    return NULL;
}

static void one_message_a_thread(void **state)
{
    pthread_t thread;
    int ok = 0;

    (void)state;
    assert_int_equal(-2, sotto_fail(-2, "mine"));
    assert_int_equal(0, pthread_create(&thread, NULL, other_thread, &ok));
    assert_int_equal(0, pthread_join(thread, NULL));
    assert_int_equal(1, ok);
    assert_string_equal("mine", sotto_error_message());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_and_context), /* first: it expects no message yet */
        cmocka_unit_test(names),
        cmocka_unit_test(arguments_may_be_the_message),
        cmocka_unit_test(cut),
        cmocka_unit_test(one_message_a_thread),
    };
    return cmocka_run_group_tests_name("lib/err", tests, NULL, NULL);
}
