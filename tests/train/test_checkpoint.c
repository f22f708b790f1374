/* What is saved comes back; whatever is torn, damaged or of something else is refused without a trace. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"
#include "nn/model/weights.h"
#include "nn/train/checkpoint.h"
#include "tests/support/support.h"

typedef struct content {
    uint8_t hash[5];
    uint32_t epochs;
    uint64_t seed;
    double rate, loss;
    float weights[7];
} content;

enum { ITEMS = 7 };

static void list(sotto_checkpoint_item items[ITEMS], content *c)
{
    const sotto_checkpoint_item all[ITEMS] = {
        {"data set", SOTTO_ITEM_BYTES, 1, c->hash, 5}, {"number of epochs", SOTTO_ITEM_U32, 1, &c->epochs, 1},
        {"rate", SOTTO_ITEM_DOUBLE, 1, &c->rate, 1},   {"seed", SOTTO_ITEM_U64, 0, &c->seed, 1},
        {"loss", SOTTO_ITEM_DOUBLE, 0, &c->loss, 1},   {"weights", SOTTO_ITEM_FLOAT, 0, c->weights, 7},
        {"average", SOTTO_ITEM_FLOAT, 0, NULL, 0},
    };
    memcpy(items, all, sizeof all);
}

static const content example = {.hash = {1, 2, 3, 4, 5}, .epochs = 20, .seed = UINT64_C(0x123456789abcdef0), .rate = 0.1, .loss = -3.5,
                                .weights = {0.0f, -1.0f, 2.5f, 1e-30f, 3e30f, 7.0f, -0.5f}};

static char folder[] = "/tmp/sotto-checkpoint-XXXXXX", path[64];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/state", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails where a temporary file was left */
}

static int load(content *c)
{
    sotto_checkpoint_item items[ITEMS];
    list(items, c);
    return sotto_checkpoint_load(path, items, ITEMS);
}

static void save(const content *from)
{
    content c = *from;
    sotto_checkpoint_item items[ITEMS];
    list(items, &c);
    assert_ok(sotto_checkpoint_save(path, items, ITEMS));
}

static void same(const content *a, const content *b)
{
    assert_memory_equal(a->hash, b->hash, sizeof a->hash);
    assert_memory_equal(a->weights, b->weights, sizeof a->weights);
    assert_true(a->epochs == b->epochs && a->seed == b->seed && a->rate == b->rate && a->loss == b->loss);
}

static void refused(int want, content c, const char *message)
{
    const content before = c;
    assert_status(want, load(&c));
    if (strstr(sotto_error_message(), message) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", message, sotto_error_message());
    }
    same(&before, &c);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct stat st;
    content c = example;
    save(&example);
    memset(c.weights, 0, sizeof c.weights);
    c.seed = 0;
    c.loss = 0.0;
    assert_ok(load(&c));
    same(&example, &c);
    assert_int_equal(0, stat(path, &st));
    assert_int_equal(0600, st.st_mode & 0777);
}

/* The layout is fixed: these are the bytes of a small checkpoint. */
static void test_layout(void **state)
{
    static const uint8_t want[] = {'S', 'O', 'T', 'T', 'O', 'C', 'K', 'P', 1, 0, 0, 0, 2, 0, 0, 0,
                                   1,   'a', 1,   2,   0,   0,   0,   0,   0, 0, 0, 4, 3, 2, 1, 8, 7, 6, 5,
                                   2,   'b', 'c', 4,   1,   0,   0,   0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f};
    (void)state;
    uint32_t a[2] = {0x01020304, 0x05060708};
    double b = 1.5;
    uint8_t *bytes;
    size_t len;
    const sotto_checkpoint_item items[] = {{"a", SOTTO_ITEM_U32, 1, a, 2}, {"bc", SOTTO_ITEM_DOUBLE, 0, &b, 1}};
    assert_ok(sotto_checkpoint_save(path, items, 2));
    assert_ok(sotto_file_read(path, 4096, &bytes, &len));
    assert_int_equal(sizeof want + 32, len);
    assert_memory_equal(want, bytes, sizeof want);
    sotto_free(bytes);
}

static void test_of_something_else(void **state)
{
    (void)state;
    content c = example;
    save(&example);
    c.epochs = 30;
    refused(SOTTO_ERR_MISMATCH, c, "another number of epochs: 20, now 30");
    c = example;
    c.rate = 0.2;
    refused(SOTTO_ERR_MISMATCH, c, "another rate: 0.1, now 0.2");
    c = example;
    c.hash[3] = 9;
    refused(SOTTO_ERR_MISMATCH, c, "another data set");
    sotto_checkpoint_item items[ITEMS];
    c = example;
    list(items, &c);
    items[5].count = 6;
    assert_status(SOTTO_ERR_MISMATCH, sotto_checkpoint_load(path, items, ITEMS));
    assert_non_null(strstr(sotto_error_message(), "weights: 7 values in the checkpoint, 6"));
    list(items, &c);
    items[4].name = "lost";
    assert_status(SOTTO_ERR_MISMATCH, sotto_checkpoint_load(path, items, ITEMS));
    list(items, &c);
    items[3].kind = SOTTO_ITEM_DOUBLE;
    assert_status(SOTTO_ERR_MISMATCH, sotto_checkpoint_load(path, items, ITEMS));
    assert_status(SOTTO_ERR_MISMATCH, sotto_checkpoint_load(path, items, ITEMS - 1));
    same(&example, &c);
}

static void write_raw(const uint8_t *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(len, fwrite(bytes, 1, len, f));
    assert_int_equal(0, fclose(f));
}

/* Cut off at every length, a bit flipped at every byte. */
static void test_torn(void **state)
{
    (void)state;
    uint8_t *bytes;
    size_t len;
    save(&example);
    assert_ok(sotto_file_read(path, 4096, &bytes, &len));
    for (size_t i = 0; i < len; i++) {
        content c = example;
        c.loss = 8.0;
        const content before = c;
        write_raw(bytes, i);
        const int cut = load(&c);
        assert_true(cut == (i < 8 ? SOTTO_ERR_FORMAT : SOTTO_ERR_CHECKSUM));
        bytes[i] ^= (uint8_t)(1u << (i % 8));
        write_raw(bytes, len);
        const int flipped = load(&c);
        assert_true(flipped == (i < 8 ? SOTTO_ERR_FORMAT : i < 12 ? SOTTO_ERR_VERSION : SOTTO_ERR_CHECKSUM));
        bytes[i] ^= (uint8_t)(1u << (i % 8));
        same(&before, &c);
    }
    sotto_free(bytes);
    unlink(path);
    refused(SOTTO_ERR_IO, example, path);
}

/* A limit on the size of files stands for a full disk: the old checkpoint stays, and no temporary file. */
static void test_full_disk(void **state)
{
    (void)state;
    content c = example;
    sotto_checkpoint_item items[ITEMS];
    struct rlimit before;
    save(&example);
    assert_int_equal(0, getrlimit(RLIMIT_FSIZE, &before));
    const struct rlimit tight = {.rlim_cur = 64, .rlim_max = before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    list(items, &c);
    c.loss = 99.0;
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &tight));
    const int status = sotto_checkpoint_save(path, items, ITEMS);
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &before));
    signal(SIGXFSZ, handler);
    assert_int_equal(SOTTO_ERR_IO, status);
    assert_non_null(strstr(sotto_error_message(), "make room"));
    assert_ok(load(&c));
    same(&example, &c);
}

static void test_no_memory(void **state)
{
    (void)state;
    content c = example;
    sotto_checkpoint_item items[ITEMS];
    list(items, &c);
    save(&example);
    sotto_calloc_fail_after(0);
    const int saved = sotto_checkpoint_save(path, items, ITEMS);
    sotto_calloc_fail_after(0);
    const int loaded = load(&c);
    sotto_calloc_fail_after(-1);
    assert_int_equal(SOTTO_ERR_MEMORY, saved);
    assert_int_equal(SOTTO_ERR_MEMORY, loaded);
    assert_ok(load(&c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_layout),    cmocka_unit_test(test_of_something_else),
        cmocka_unit_test(test_torn),       cmocka_unit_test(test_full_disk), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
