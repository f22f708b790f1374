/* Networks that others trained and wrote: their logits as another runtime computed them, and their accuracy on all test images. The files are found
 * in the folder that SOTTO_DATA names; without it, or without a file, the test is skipped. */
#include "tests/support/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/model/weights.h"
#include "nn/onnx/onnx.h"
#include "nn/plain/float.h"
#include "nn/train/tape.h"
#include "nn/train/train.h"

#define IMAGES_MAX 100

typedef enum set { CIFAR10, CIFAR100, CROPS } set;

/* Normalisation as the networks' authors state it; accuracy: the published one, in percent, which was measured with another runtime as well. */
static const struct network {
    const char *path; /* without the suffix */
    set images;
    float mean[3], std[3];
    double accuracy;
} networks[] = {
    {"akamaster-resnet-cifar10/resnet20-12fca82f", CIFAR10, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}, 91.73},
    {"akamaster-resnet-cifar10/resnet32-d509ac18", CIFAR10, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}, 92.63},
    {"delphi-minionn-cifar10/minionn_relu", CIFAR10, {0.0f, 0.0f, 0.0f}, {1.0f, 1.0f, 1.0f}, 85.02},
    {"delphi-minionn-cifar10/minionn_7_approx", CIFAR10, {0.0f, 0.0f, 0.0f}, {1.0f, 1.0f, 1.0f}, 82.95},
    {"delphi-resnet32-cifar100/resnet32_cifar100", CIFAR100, {0.0f, 0.0f, 0.0f}, {1.0f, 1.0f, 1.0f}, 69.46},
    {"crypten-lenet-cifar10/cifar-model-checkpoint", CIFAR10, {0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}, 65.31},
    {"squeezenet1.1-imagenet/squeezenet1.1", CROPS, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}, 0.0},
};

#define NETWORKS (sizeof networks / sizeof *networks)

/* A whole file of that folder; NULL when it is not there. */
static uint8_t *data_file(const char *name, const char *suffix, size_t *len)
{
    const char *folder = getenv("SOTTO_DATA");
    char path[1024];
    uint8_t *data = NULL;
    if (folder == NULL) {
        return NULL;
    }
    snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix);
    return sotto_file_read(path, (size_t)256 << 20, &data, len) == SOTTO_OK ? data : NULL;
}

/* 0: not there. */
static int load(sotto_model *m, const struct network *n)
{
    size_t len;
    uint8_t *data = data_file(n->path, ".onnx", &len);
    if (data == NULL) {
        return 0;
    }
    assert_ok(sotto_onnx_read(m, data, len, NULL));
    sotto_free(data);
    for (unsigned c = 0; c < 3; c++) {
        m->mean[c] = n->mean[c];
        m->std[c] = n->std[c];
    }
    return 1;
}

/* The test half of a set; the crops are bytes of 224 x 224 x 3 without labels. 0: not there. */
static int images(sotto_dataset *d, set which)
{
    const char *folder = getenv("SOTTO_DATA");
    char path[1024];
    memset(d, 0, sizeof *d);
    if (which != CROPS) {
        snprintf(path, sizeof path, "%s/%s", folder, which == CIFAR10 ? "cifar-10-batches-bin" : "cifar-100-binary");
        return (which == CIFAR10 ? sotto_dataset_cifar10(d, path, 0) : sotto_dataset_cifar100(d, path, 0)) == SOTTO_OK;
    }
    size_t len;
    uint8_t *data = data_file("squeezenet1.1-imagenet/imagenet_first40_crop224_u8_nhwc", ".bin", &len);
    if (data == NULL) {
        return 0;
    }
    const size_t area = 224 * 224, words = 3 * area;
    *d = (sotto_dataset){.shape = {3, 224, 224}, .count = len / words, .images = sotto_calloc(len, 1)};
    assert_non_null(d->images);
    for (size_t i = 0; i < d->count * words; i++) {
        d->images[i / words * words + i % 3 * area + i % words / 3] = data[i];
    }
    sotto_free(data);
    return 1;
}

/* Absolute; relative, tenfold, where logits are large: polynomials blow up what an odd image makes large (one of the hundred has logits of 6e13). */
static double difference(double got, double want)
{
    return fabs(want) < 1000.0 ? fabs(got - want) : 10.0 * fabs(got - want) / fabs(want);
}

/* The batched evaluator on all images, the plain one on the first few. */
static void compare(const struct network *n, sotto_model *m, const sotto_dataset *d, const float *want, size_t count)
{
    const size_t in = sotto_shape_words(m->nodes[0].shape), out = sotto_shape_words(m->nodes[m->node_count - 1].shape);
    const int is_long = getenv("SOTTO_TEST_LONG") != NULL;
    const size_t plain = is_long ? count : 1;
    const float *logits;
    sotto_pool *pool;
    sotto_tape *tape;
    sotto_float_run *run;
    double worst = 0.0, worst_plain = 0.0;
    assert_int_equal(in, sotto_shape_words(d->shape));
    if (n->images == CROPS && !is_long) {
        count = count < 4 ? count : 4;
    }
    assert_ok(sotto_pool_new(&pool, 1));
    assert_ok(sotto_tape_new(&tape, m, 4, 0, pool));
    assert_ok(sotto_float_run_new(&run, m));
    for (size_t i = 0; i < count; i += 4) {
        const size_t batch = count - i < 4 ? count - i : 4;
        for (size_t k = 0; k < batch; k++) {
            sotto_normalise(m, sotto_tape_input(tape) + k * in, d->images + (i + k) * in);
        }
        assert_ok(sotto_tape_forward(tape, batch, 0, &logits));
        for (size_t k = 0; k < batch * out; k++) {
            worst = fmax(worst, difference(logits[k], want[i * out + k]));
        }
    }
    float *image = sotto_calloc(in, sizeof *image);
    assert_non_null(image);
    for (size_t i = 0; i < plain; i++) {
        sotto_normalise(m, image, d->images + i * in);
        assert_ok(sotto_float_infer(run, image));
        for (size_t k = 0; k < out; k++) {
            worst_plain = fmax(worst_plain, difference(sotto_float_value(run, m->node_count - 1)[k], want[i * out + k]));
        }
    }
    print_message("%s: largest difference of a logit %.2g in %zu images, plain %.2g in %zu\n", n->path, worst, count, worst_plain, plain);
    assert_true(worst < 1e-3 && worst_plain < 1e-3);
    sotto_free(image);
    sotto_float_run_free(run);
    sotto_tape_free(tape);
    sotto_pool_free(pool);
}

static void test_logits(void **state)
{
    size_t seen = 0;
    (void)state;
    for (size_t i = 0; i < NETWORKS; i++) {
        sotto_model m;
        sotto_dataset d;
        size_t len;
        if (!load(&m, &networks[i])) {
            continue;
        }
        uint8_t *want = data_file(networks[i].path, ".logits100.f32", &len);
        if (want != NULL && images(&d, networks[i].images)) {
            const size_t out = sotto_shape_words(m.nodes[m.node_count - 1].shape);
            const size_t there = len / (4 * out), count = there < d.count ? there : d.count;
            compare(&networks[i], &m, &d, (const float *)(const void *)want, count < IMAGES_MAX ? count : IMAGES_MAX);
            sotto_dataset_free(&d);
            seen++;
        }
        sotto_free(want);
        sotto_model_free(&m);
    }
    if (seen == 0) {
        skip();
    }
}

/* Within 0.1 points of what is published, on 10,000 images: some that lie on an edge fall to the other side with another order of summation. */
static void test_accuracy(void **state)
{
    (void)state;
    if (getenv("SOTTO_TEST_LONG") == NULL) {
        skip();
    }
    for (size_t i = 0; i < NETWORKS; i++) {
        sotto_model m;
        sotto_dataset d;
        double accuracy;
        if (networks[i].accuracy == 0.0 || !load(&m, &networks[i])) {
            continue;
        }
        if (images(&d, networks[i].images)) {
            assert_ok(sotto_evaluate_float(&accuracy, &m, &d, 0, 2));
            print_message("%s: %.2f %% of %zu images, published %.2f\n", networks[i].path, 100.0 * accuracy, d.count, networks[i].accuracy);
            assert_true(fabs(100.0 * accuracy - networks[i].accuracy) <= 0.1);
            sotto_dataset_free(&d);
        }
        sotto_model_free(&m);
    }
}

/* Written out and read again: the same logits bit for bit. */
static void test_written(void **state)
{
    size_t seen = 0;
    (void)state;
    for (size_t i = 0; i < NETWORKS; i++) {
        sotto_model m, again;
        uint8_t *data;
        size_t len;
        if (networks[i].images == CROPS || !load(&m, &networks[i])) {
            continue;
        }
        assert_ok(sotto_onnx_write(&m, &data, &len));
        assert_ok(sotto_onnx_read(&again, data, len, NULL));
        sotto_free(data);
        assert_int_equal(again.node_count, m.node_count);
        assert_memory_equal(again.mean, m.mean, 3 * sizeof *m.mean);
        assert_memory_equal(again.std, m.std, 3 * sizeof *m.std);
        for (size_t k = 0; k < m.node_count; k++) {
            assert_string_equal(again.nodes[k].name, m.nodes[k].name);
            assert_int_equal(again.nodes[k].op, m.nodes[k].op);
            for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
                const size_t count = sotto_tensor_count(&m, &m.nodes[k], t);
                assert_true(count == 0 || memcmp(again.nodes[k].tensor[t], m.nodes[k].tensor[t], count * sizeof(float)) == 0);
            }
        }
        sotto_model_free(&again);
        sotto_model_free(&m);
        seen++;
    }
    if (seen == 0) {
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_accuracy),
        cmocka_unit_test(test_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
