#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nn/model/weights.h"
#include "tests/nn/fixture.h"

static char folder[64];
static char public_path[128], weights_path[128];

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/sotto-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(public_path, sizeof public_path, "%s/m.sotto", folder);
    snprintf(weights_path, sizeof weights_path, "%s/m.weights", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(public_path);
    unlink(weights_path);
    return rmdir(folder); /* fails when a temporary file was left behind */
}

static const char tiny[] = "sotto-model 1\n"
                           "input 1x2x2\n"
                           "conv c input out=1 kernel=2\n"
                           "batchnorm b c\n"
                           "relu r b\n"
                           "dense d r out=2\n";

static void make(sotto_model *m, uint64_t seed)
{
    const sotto_rng rng = test_rng(seed, 0);
    fixture_raw(m, tiny, &rng);
}

static int same_weights(const sotto_model *a, const sotto_model *b)
{
    for (size_t i = 0; i < a->node_count; i++) {
        for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
            const size_t count = sotto_tensor_count(a, &a->nodes[i], t);
            if (count > 0 && memcmp(a->nodes[i].tensor[t], b->nodes[i].tensor[t], count * sizeof(float)) != 0) {
                return 0;
            }
        }
    }
    return 1;
}

/* What a process of this number left when it was killed in the middle of a write is no obstacle. */
static void test_left_over(void **state)
{
    (void)state;
    char left[256];
    sotto_model m;
    make(&m, test_seed());
    snprintf(left, sizeof left, "%s.new.%ld", weights_path, (long)getpid());
    FILE *file = fopen(left, "w");
    assert_non_null(file);
    assert_int_equal(0, fclose(file));
    assert_ok(sotto_model_save(&m, public_path, weights_path));
    sotto_model_free(&m);
}

static void test_save_and_load(void **state)
{
    (void)state;
    sotto_model m, back;
    struct stat st;
    make(&m, test_seed());
    assert_ok(sotto_model_save(&m, public_path, weights_path));
    assert_ok(sotto_model_load(&back, public_path, weights_path));
    assert_true(same_weights(&m, &back));
    assert_memory_equal(m.id, back.id, sizeof m.id);
    assert_int_equal(0, stat(weights_path, &st));
    assert_int_equal(0, st.st_mode & 077); /* the owner's alone */
    sotto_model_free(&back);
    assert_ok(sotto_model_load(&back, public_path, NULL));
    assert_false(sotto_model_has_weights(&back));
    sotto_model_free(&back);
    sotto_model_free(&m);
}

/* A public part whose line ends another system has changed is the same model; a return elsewhere is not taken away. */
static void test_returns(void **state)
{
    (void)state;
    sotto_model m, back;
    uint8_t *text = NULL;
    size_t len, n = 0;
    make(&m, test_seed());
    assert_ok(sotto_model_save(&m, public_path, weights_path));
    assert_ok(sotto_file_read(public_path, 4096, &text, &len));
    char *changed = sotto_calloc(2 * len + 1, 1);
    assert_non_null(changed);
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n') {
            changed[n++] = '\r';
        }
        changed[n++] = (char)text[i];
    }
    assert_ok(sotto_file_write(public_path, changed, n, 0644));
    assert_ok(sotto_model_load(&back, public_path, weights_path));
    assert_true(same_weights(&m, &back));
    assert_memory_equal(m.public_hash, back.public_hash, sizeof m.public_hash);
    sotto_model_free(&back);
    changed[n] = '\r';
    assert_ok(sotto_file_write(public_path, changed, n + 1, 0644));
    assert_status(SOTTO_ERR_FORMAT, sotto_model_load(&back, public_path, NULL));
    sotto_free(changed);
    sotto_free(text);
    sotto_model_free(&m);
}

static void test_every_bit_and_every_cut(void **state)
{
    (void)state;
    sotto_model m, back;
    uint8_t *data = NULL;
    size_t len;
    make(&m, test_seed());
    assert_ok(sotto_model_save(&m, public_path, weights_path));
    assert_ok(sotto_file_read(weights_path, 1 << 20, &data, &len));
    for (size_t i = 0; i < len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            data[i] = (uint8_t)(data[i] ^ (1u << bit));
            assert_ok(sotto_file_write(weights_path, data, len, 0600));
            assert_int_not_equal(SOTTO_OK, sotto_model_load(&back, public_path, weights_path));
            assert_non_null(strstr(sotto_error_message(), weights_path));
            assert_int_equal(0, back.node_count);
            data[i] = (uint8_t)(data[i] ^ (1u << bit));
        }
    }
    for (size_t cut = 0; cut < len; cut++) {
        assert_ok(sotto_file_write(weights_path, data, cut, 0600));
        assert_int_not_equal(SOTTO_OK, sotto_model_load(&back, public_path, weights_path));
    }
    uint8_t *longer = sotto_calloc(len + 1, 1);
    assert_non_null(longer);
    memcpy(longer, data, len);
    assert_ok(sotto_file_write(weights_path, longer, len + 1, 0600));
    assert_status(SOTTO_ERR_FORMAT, sotto_model_load(&back, public_path, weights_path));
    assert_ok(sotto_file_write(weights_path, data, len, 0600));
    assert_ok(sotto_model_load(&back, public_path, weights_path));
    assert_true(same_weights(&m, &back));
    sotto_model_free(&back);
    sotto_model_free(&m);
    sotto_free(longer);
    sotto_free(data);
}

static void test_not_a_number(void **state)
{
    (void)state;
    sotto_model m, back;
    make(&m, test_seed());
    m.nodes[1].tensor[0][2] = __builtin_nanf("");
    assert_ok(sotto_model_save(&m, public_path, weights_path));
    assert_status(SOTTO_ERR_FORMAT, sotto_model_load(&back, public_path, weights_path));
    assert_non_null(strstr(sotto_error_message(), "finite"));
    sotto_model_free(&m);
}

static void test_negative_variance(void **state)
{
    (void)state;
    sotto_model m, back;
    make(&m, test_seed());
    m.nodes[2].tensor[3][0] = -0.25f;
    assert_ok(sotto_model_save(&m, public_path, weights_path));
    assert_status(SOTTO_ERR_FORMAT, sotto_model_load(&back, public_path, weights_path));
    assert_non_null(strstr(sotto_error_message(), "node b: the variance"));
    sotto_model_free(&m);
}

/* A file far larger than the architecture asks for is refused by its size, before memory is asked for: the next allocation
 * after those of the public part would fail. */
static void test_size_before_memory(void **state)
{
    (void)state;
    sotto_model m, back;
    long allocations = 0;
    make(&m, 1);
    assert_ok(sotto_model_save(&m, public_path, weights_path));
    for (int failed = 1; failed; allocations++) {
        sotto_calloc_fail_after(allocations);
        failed = sotto_model_load(&back, public_path, NULL) != SOTTO_OK;
        sotto_calloc_fail_after(-1);
        sotto_model_free(&back);
    }
    assert_int_equal(0, truncate(weights_path, (off_t)1 << 40)); /* a hole: it takes no room */
    sotto_calloc_fail_after(allocations - 1);
    const int status = sotto_model_load(&back, public_path, weights_path);
    sotto_calloc_fail_after(-1);
    assert_int_equal(SOTTO_ERR_FORMAT, status);
    assert_non_null(strstr(sotto_error_message(), "1099511627776 bytes"));
    assert_int_equal(0, back.node_count);
    sotto_model_free(&m);
}

static void test_weights_of_another_model(void **state)
{
    (void)state;
    sotto_model m, other, back;
    make(&m, 1);
    make(&other, 2); /* another id */
    assert_ok(sotto_model_save(&other, public_path, weights_path));
    assert_ok(sotto_model_save(&m, public_path, NULL));
    assert_status(SOTTO_ERR_MISMATCH, sotto_model_load(&back, public_path, weights_path));
    memcpy(other.id, m.id, sizeof m.id); /* the same id with another plan */
    other.nodes[3].plan = (sotto_node_plan){.present = 1, .f = 1, .k = 9, .u = 3};
    assert_ok(sotto_model_save(&other, public_path, weights_path));
    assert_ok(sotto_model_save(&m, public_path, NULL));
    assert_status(SOTTO_ERR_MISMATCH, sotto_model_load(&back, public_path, weights_path));
    assert_non_null(strstr(sotto_error_message(), "plan"));
    sotto_model_free(&m);
    sotto_model_free(&other);
}

static void test_missing_and_odd_files(void **state)
{
    (void)state;
    sotto_model m, back;
    make(&m, 1);
    unlink(public_path);
    assert_status(SOTTO_ERR_IO, sotto_model_load(&back, public_path, NULL));
    assert_non_null(strstr(sotto_error_message(), public_path));
    assert_status(SOTTO_ERR_IO, sotto_model_load(&back, folder, NULL));
    assert_status(SOTTO_ERR_IO, sotto_model_save(&m, "/nonexistent-folder/m.sotto", NULL));
    assert_non_null(strstr(sotto_error_message(), "/nonexistent-folder"));
    /* larger than any public part */
    assert_ok(sotto_file_write(public_path, "", 0, 0644));
    assert_int_equal(0, truncate(public_path, (off_t)SOTTO_TEXT_MAX + 1));
    assert_status(SOTTO_ERR_LIMIT, sotto_model_load(&back, public_path, NULL));
    sotto_model_free(&m);
}

/* A disk that takes `room` bytes of each file: an error that names the file `full`, the old pair whole, nothing left over. */
static void full_disk(off_t room, const char *full)
{
    sotto_model m, back;
    make(&m, 1);
    assert_ok(sotto_model_save(&m, public_path, weights_path));
    fflush(NULL);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        sotto_model n;
        make(&n, 2);
        const struct rlimit limit = {(rlim_t)room, (rlim_t)room};
        signal(SIGXFSZ, SIG_IGN);
        const int bad = setrlimit(RLIMIT_FSIZE, &limit) != 0 || sotto_model_save(&n, public_path, weights_path) != SOTTO_ERR_IO ||
                        strstr(sotto_error_message(), full) == NULL || strstr(sotto_error_message(), "free space") == NULL;
        _exit(bad);
    }
    int left;
    assert_int_equal(pid, waitpid(pid, &left, 0));
    assert_int_equal(0, left);
    assert_ok(sotto_model_load(&back, public_path, weights_path));
    assert_true(same_weights(&m, &back));
    sotto_model_free(&back);
    sotto_model_free(&m);
}

static void test_full_disk(void **state)
{
    (void)state;
    struct stat text, weights;
    sotto_model m;
    make(&m, 1);
    assert_ok(sotto_model_save(&m, public_path, weights_path));
    assert_int_equal(0, stat(public_path, &text));
    assert_int_equal(0, stat(weights_path, &weights));
    assert_true(weights.st_size < text.st_size); /* so that the weights alone can fit */
    full_disk(0, weights_path);
    full_disk(40, weights_path);
    full_disk(weights.st_size - 1, weights_path);
    full_disk(weights.st_size, public_path);
    full_disk(text.st_size - 1, public_path);
    sotto_model_free(&m);
}

/* Neither file takes its place when the other cannot be made. */
static void test_save_is_of_both(void **state)
{
    (void)state;
    sotto_model m, n, back;
    char nowhere[160];
    make(&m, 1);
    make(&n, 2);
    snprintf(nowhere, sizeof nowhere, "%s/none/x", folder);
    assert_ok(sotto_model_save(&m, public_path, weights_path));
    assert_status(SOTTO_ERR_IO, sotto_model_save(&n, nowhere, weights_path));
    assert_status(SOTTO_ERR_IO, sotto_model_save(&n, public_path, nowhere));
    sotto_free(n.nodes[4].tensor[1]);
    n.nodes[4].tensor[1] = NULL;
    assert_status(SOTTO_ERR_ARG, sotto_model_save(&n, public_path, weights_path));
    sotto_model_free(&n);
    assert_status(SOTTO_ERR_ARG, sotto_model_save(&n, public_path, weights_path)); /* empty */
    assert_ok(sotto_model_load(&back, public_path, weights_path));
    assert_true(same_weights(&m, &back));
    sotto_model_free(&back);
    sotto_model_free(&m);
}

static void test_memory_failure(void **state)
{
    (void)state;
    sotto_model m;
    make(&m, 1);
    assert_ok(sotto_model_save(&m, public_path, weights_path));
    int failed = 1;
    for (long k = 0; failed; k++) {
        sotto_model back;
        sotto_calloc_fail_after(k);
        failed = sotto_model_load(&back, public_path, weights_path) != SOTTO_OK;
        sotto_calloc_fail_after(-1);
        assert_true(!failed || back.node_count == 0);
        sotto_model_free(&back);
    }
    for (long k = 0; k < 2; k++) {
        sotto_calloc_fail_after(k);
        assert_status(SOTTO_ERR_MEMORY, sotto_model_save(&m, public_path, weights_path));
        sotto_calloc_fail_after(-1);
    }
    sotto_model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_left_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_save_and_load, setup, teardown),
        cmocka_unit_test_setup_teardown(test_returns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_bit_and_every_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_a_number, setup, teardown),
        cmocka_unit_test_setup_teardown(test_weights_of_another_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_and_odd_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_save_is_of_both, setup, teardown),
        cmocka_unit_test_setup_teardown(test_negative_variance, setup, teardown),
        cmocka_unit_test_setup_teardown(test_size_before_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_failure, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
