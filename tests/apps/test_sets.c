/* What is found by name: data sets by their forms, names of classes, architectures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/commands.h"
#include "lib/mem.h"
#include "nn/model/text.h"
#include "tests/support/support.h"

static void check_says(const char *words)
{
    if (strstr(sotto_error_message(), words) == NULL) {
        fail_msg("'%s' says nothing of '%s'", sotto_error_message(), words);
    }
}

static void test_missing(void **state)
{
    static const struct form {
        const char *spec, *data; /* SOTTO_DATA */
        int status;
        const char *path, *hint;
    } forms[] = {
        {"cifar10", NULL, SOTTO_ERR_IO, "SOTTO_DATA", "cifar.html"},
        {"cifar100", "/nonexistent", SOTTO_ERR_IO, "/nonexistent/cifar-100-binary/test.bin", "cifar100:FOLDER"},
        {"cifar10:/nonexistent/x", "/nonexistent", SOTTO_ERR_IO, "/nonexistent/x/test_batch.bin", "the test images of cifar10"},
        {"mnist", "/nonexistent", SOTTO_ERR_IO, "/nonexistent/mnist/t10k-images-idx3-ubyte", "mnist:FOLDER"},
        {"fashion:/nonexistent", NULL, SOTTO_ERR_IO, "/nonexistent/t10k-images-idx3-ubyte", "dataset-fashion-mnist"},
        {"cifar", NULL, SOTTO_ERR_ARG, "'cifar'", "cifar10, cifar100 or pictures"},
        {"pictures:/nonexistent", NULL, SOTTO_ERR_IO, "/nonexistent: no pictures", "7-cat.png"},
        {"cifar1000:x", NULL, SOTTO_ERR_ARG, "'cifar1000:x'", "NAME:FOLDER"},
        {"", NULL, SOTTO_ERR_ARG, "''", "fashion"},
    };
    const char *before = getenv("SOTTO_DATA");
    char *kept = before == NULL ? NULL : strdup(before);
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        sotto_dataset d;
        assert_int_equal(0, forms[i].data == NULL ? unsetenv("SOTTO_DATA") : setenv("SOTTO_DATA", forms[i].data, 1));
        assert_status(forms[i].status, dataset_open(&d, forms[i].spec, 0));
        check_says(forms[i].path);
        check_says(forms[i].hint);
        assert_true(d.images == NULL && d.labels == NULL && d.count == 0);
    }
    if (kept != NULL) {
        assert_int_equal(0, setenv("SOTTO_DATA", kept, 1));
        free(kept);
    }
}

static void write_picture(const char *path, unsigned width, uint8_t first)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "P5\n%u 2\n255\n", width);
    for (unsigned i = 0; i < 2 * width; i++) {
        fputc(first + (int)i, f);
    }
    assert_int_equal(0, fclose(f));
}

/* Pictures in the order of their names, classes from the names; another half where there is a folder for it; what is no picture of the set is named. */
static void test_pictures(void **state)
{
    char folder[] = "sotto-pictures-XXXXXX", path[4][64], spec[64];
    static const char *const names[4] = {"/12-b.pgm", "/003-a.pgm", "/notes.txt", "/test"};
    static const uint8_t expected[12] = {50, 51, 52, 53, 54, 55, 20, 21, 22, 23, 24, 25};
    sotto_dataset d;
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(spec, sizeof spec, "pictures:%s", folder);
    for (size_t i = 0; i < 4; i++) {
        snprintf(path[i], sizeof path[i], "%s%s", folder, names[i]);
    }
    write_picture(path[0], 3, 20);
    write_picture(path[1], 3, 50);
    write_picture(path[2], 3, 0);
    for (int train = 0; train < 2; train++) {
        assert_ok(dataset_open(&d, spec, train));
        assert_int_equal(2, d.count);
        assert_true(d.shape.c == 1 && d.shape.h == 2 && d.shape.w == 3 && d.classes == 13 && d.labels[0] == 3 && d.labels[1] == 12);
        assert_memory_equal(expected, d.images, sizeof expected);
        sotto_dataset_free(&d);
    }
    assert_int_equal(0, mkdir(path[3], 0700));
    assert_status(SOTTO_ERR_IO, dataset_open(&d, spec, 0));
    check_says("/test: no pictures");
    assert_int_equal(0, rmdir(path[3]));
    int status = SOTTO_ERR_MEMORY;
    for (long k = 0; status == SOTTO_ERR_MEMORY; k++) {
        sotto_calloc_fail_after(k);
        status = dataset_open(&d, spec, 1);
        sotto_calloc_fail_after(-1);
        assert_true(status == SOTTO_OK || (d.images == NULL && d.labels == NULL && d.count == 0));
    }
    assert_ok(status);
    sotto_dataset_free(&d);
    write_picture(path[0], 4, 20);
    assert_status(SOTTO_ERR_MISMATCH, dataset_open(&d, spec, 1));
    check_says("12-b.pgm");
    assert_int_equal(0, unlink(path[0]));
    snprintf(path[0], sizeof path[0], "%s/4096.pgm", folder);
    write_picture(path[0], 3, 20);
    assert_status(SOTTO_ERR_FORMAT, dataset_open(&d, spec, 1));
    check_says("number of a class");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(0, unlink(path[i]));
    }
    assert_int_equal(0, rmdir(folder));
}

static void with_outputs(sotto_model *m, unsigned outputs)
{
    char text[128];
    const int len = snprintf(text, sizeof text, "sotto-model 1\nname m\ninput 1x2x2\ndense f input out=%u\n", outputs);
    assert_ok(sotto_model_parse(m, text, (size_t)len));
}

static void test_labels(void **state)
{
    static const struct names {
        const char *spec;
        unsigned count;
        const char *first, *last;
    } sets[] = {{"fashion", 10, "T-shirt/top", "Ankle boot"}, {"mnist:anywhere", 10, "0", "9"}, {"cifar10", 10, "airplane", "truck"}, {"cifar100", 100, "apple", "worm"}};
    (void)state;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        sotto_model m;
        with_outputs(&m, sets[i].count);
        sotto_calloc_fail_after(0);
        assert_status(SOTTO_ERR_MEMORY, labels_from_set(&m, sets[i].spec));
        sotto_calloc_fail_after(-1);
        assert_int_equal(0, m.label_count);
        assert_ok(labels_from_set(&m, sets[i].spec));
        assert_int_equal(sets[i].count, m.label_count);
        assert_string_equal(sets[i].first, m.labels[0]);
        assert_string_equal(sets[i].last, m.labels[sets[i].count - 1]);
        assert_ok(sotto_model_infer_shapes(&m)); /* which checks each name */
        for (size_t a = 1; a < m.label_count && i == 3; a++) {
            assert_true(strcmp(m.labels[a - 1], m.labels[a]) < 0); /* CIFAR-100's are in order of the alphabet */
        }
        /* Names that are there stay. */
        assert_ok(labels_from_set(&m, i == 0 ? "mnist" : "fashion"));
        assert_string_equal(sets[i].first, m.labels[0]);
        sotto_model_free(&m);
    }
    sotto_model m;
    with_outputs(&m, 11);
    assert_ok(labels_from_set(&m, "cifar10"));
    assert_int_equal(0, m.label_count);
    assert_status(SOTTO_ERR_ARG, labels_from_set(&m, "imagenet"));
    sotto_model_free(&m);
}

static void test_arch_path(void **state)
{
    char path[ARCH_PATH_MAX], file[] = "sotto-arch-XXXXXX", lengthy[ARCH_PATH_MAX];
    (void)state;
    assert_ok(arch_path(path, "resnet20"));
    assert_true(access(path, R_OK) == 0 && strstr(path, "nn/arch/resnet20.arch") != NULL);
    assert_ok(arch_path(path, "squeezenet1.1"));
    assert_true(access(path, R_OK) == 0);
    /* A path is taken as it is, whether there is something or not: whoever opens it says so. */
    assert_ok(arch_path(path, "./resnet20"));
    assert_string_equal("./resnet20", path);
    const int fd = mkstemp(file);
    assert_true(fd >= 0 && close(fd) == 0);
    assert_ok(arch_path(path, file));
    assert_string_equal(file, path);
    assert_int_equal(0, unlink(file));
    assert_status(SOTTO_ERR_IO, arch_path(path, file));
    check_says("fashion-resnet, lenet, lenet-cifar, minionn, ");
    assert_string_equal("", path);
    assert_status(SOTTO_ERR_ARG, arch_path(path, ""));
    memset(lengthy, 'a', sizeof lengthy - 1);
    lengthy[sizeof lengthy - 1] = '\0';
    assert_status(SOTTO_ERR_ARG, arch_path(path, lengthy));
    /* A folder is no architecture. */
    assert_status(SOTTO_ERR_IO, arch_path(path, "tests"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_arch_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
