/* The whole way of networks that others trained: read from ONNX, quantised, saved, served, and asked in private by a client that has the public part alone. Every logit must
 * equal the reference given the client's shares, and the predictions those of plain fixed point but for a few in a hundred, where a sign within half a step fell the other
 * way. Coins are fixed, so that counts are the same in every run. The files are found in the folder that SOTTO_DATA names, as in test_networks.c; what is not there is skipped.
 * One image of the first network, unless SOTTO_TEST_LONG is set: then all networks, a hundred images each of those for CIFAR. */
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "lib/mem.h"
#include "nn/model/deploy.h"
#include "nn/model/weights.h"
#include "nn/onnx/onnx.h"
#include "nn/plain/calibrate.h"
#include "nn/plain/fixed.h"
#include "nn/secure/session.h"
#include "nn/train/dataset.h"

#define AGREE_PERCENT 97
#define CALIBRATION 100 /* images, the last of the set: others than those of the runs */
#define PIXELS_MAX ((size_t)3 * 224 * 224)
#define PEER_MS 600000

typedef enum set { CIFAR10, CIFAR100, CROPS } set;

static const struct network {
    const char *path; /* without the suffix */
    set images;
    float mean[3], std[3]; /* as the networks' authors normalise */
    size_t count;          /* private runs */
    unsigned sign_bits;    /* a clip needs more than a relu, a hundred classes more than ten */
    sotto_sign_provider sign;
} networks[] = {
    {"akamaster-resnet-cifar10/resnet20-12fca82f", CIFAR10, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}, 100, 8, SOTTO_SIGN_LOOKUP},
    {"akamaster-resnet-cifar10/resnet32-d509ac18", CIFAR10, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}, 100, 8, SOTTO_SIGN_CIRCUIT},
    {"delphi-minionn-cifar10/minionn_relu", CIFAR10, {0.0f, 0.0f, 0.0f}, {1.0f, 1.0f, 1.0f}, 100, 9, SOTTO_SIGN_LOOKUP},
    {"delphi-resnet32-cifar100/resnet32_cifar100", CIFAR100, {0.0f, 0.0f, 0.0f}, {1.0f, 1.0f, 1.0f}, 100, 11, SOTTO_SIGN_CIRCUIT3},
    {"squeezenet1.1-imagenet/squeezenet1.1", CROPS, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}, 1, 8, SOTTO_SIGN_LOOKUP},
};

#define NETWORKS (sizeof networks / sizeof *networks)

/* ---- files ----------------------------------------------------------------------------------------------------------------- */

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

/* The test half of a set; the crops are bytes of 224 x 224 x 3. 0: not there. */
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
    *d = (sotto_dataset){.shape = {3, 224, 224}, .count = len / PIXELS_MAX, .images = sotto_calloc(len, 1)};
    assert_non_null(d->images);
    for (size_t i = 0; i < d->count * PIXELS_MAX; i++) {
        d->images[i / PIXELS_MAX * PIXELS_MAX + i % 3 * (PIXELS_MAX / 3) + i % PIXELS_MAX / 3] = data[i];
    }
    sotto_free(data);
    return 1;
}

/* Imported, quantised on the last images of the set, saved; both parts are files afterwards. */
static void quantise(const struct network *n, const uint8_t *file, size_t len, const sotto_dataset *d, const char *public_path, const char *weights_path)
{
    sotto_calibration options = sotto_calibration_default();
    const sotto_rng rng = test_rng(1, 0);
    const size_t count = d->count / 2 < CALIBRATION ? d->count / 2 : CALIBRATION;
    sotto_model m;
    options.sign_bits = n->sign_bits;
    assert_ok(sotto_onnx_read(&m, file, len, NULL));
    for (unsigned c = 0; c < 3; c++) {
        m.mean[c] = n->mean[c];
        m.std[c] = n->std[c];
    }
    assert_int_equal(sotto_shape_words(d->shape), sotto_shape_words(m.nodes[0].shape));
    assert_ok(sotto_model_deploy(&m));
    assert_ok(sotto_calibrate(&m, &options, d->images + (d->count - count) * sotto_shape_words(d->shape), count, NULL, NULL));
    assert_ok(sotto_network_choose_he(&m));
    assert_ok(sotto_rng_fill(&rng, m.id, sizeof m.id));
    assert_ok(sotto_model_save(&m, public_path, weights_path));
    sotto_model_free(&m);
}

/* ---- both parties ------------------------------------------------------------------------------------------------------------ */

typedef struct chain {
    const struct network *network;
    const char *public_path, *weights_path;
    const sotto_dataset *images;
    size_t count;
    /* of the client, and what its runs are compared with */
    sotto_network client;
    sotto_fixed_run *reference;
    uint64_t **share; /* per step, of the run before */
    size_t agree;
} chain;

static int serve(sotto_chan *chan, void *ctx)
{
    const chain *c = ctx;
    sotto_model m;
    sotto_serving serving;
    sotto_pool *pool = NULL;
    int status = sotto_model_load(&m, c->public_path, c->weights_path);
    if (status != SOTTO_OK) {
        return status;
    }
    status = sotto_pool_new(&pool, 2);
    status = status == SOTTO_OK ? sotto_serving_new(&serving, &m, pool) : status;
    sotto_model_free(&m);
    if (status == SOTTO_OK) {
        const sotto_session_env env = {.chan = chan, .rng = test_rng(2, 0), .pool = pool};
        status = sotto_session_serve(&serving, &env, NULL);
        sotto_serving_free(&serving);
    }
    sotto_pool_free(pool);
    return status;
}

static void keep(void *ctx, size_t step, const uint64_t *share, size_t words)
{
    chain *c = ctx;
    assert_int_equal(c->client.program.steps[step].words, words);
    memcpy(c->share[step], share, words * sizeof *share);
}

static const uint64_t *kept(void *ctx, size_t step)
{
    return ((chain *)ctx)->share[step];
}

static void compare(chain *c, const int64_t *logits, const int64_t *x)
{
    const sotto_fixed_options hook = {.share = kept, .ctx = c};
    const size_t outputs = c->client.program.output_words;
    int64_t *want = sotto_calloc(outputs, sizeof *want);
    assert_non_null(want);
    sotto_fixed_infer(c->reference, want, x, &hook, NULL);
    assert_memory_equal(want, logits, outputs * sizeof *want);
    sotto_fixed_infer(c->reference, want, x, NULL, NULL);
    c->agree += sotto_argmax_int(want, outputs) == sotto_argmax_int(logits, outputs);
    sotto_free(want);
}

static int ask(sotto_chan *chan, void *ctx)
{
    chain *c = ctx;
    const sotto_program *p = &c->client.program;
    sotto_session *s = NULL;
    sotto_pool *pool = NULL;
    int64_t *x = sotto_calloc(p->input_words, sizeof *x), *logits = sotto_calloc(p->output_words, sizeof *logits);
    int status = x == NULL || logits == NULL ? SOTTO_ERR_MEMORY : sotto_pool_new(&pool, 2);
    if (status == SOTTO_OK) {
        const sotto_session_env env = {.chan = chan, .rng = test_rng(2, 1), .pool = pool, .audit = {keep, c}};
        status = sotto_session_open(&s, &c->client, &env, c->network->sign, SOTTO_OT_SOFTSPOKEN4);
    }
    for (size_t i = 0; i < c->count && status == SOTTO_OK; i++) {
        status = sotto_session_prepare(s);
        if (status == SOTTO_OK) {
            sotto_program_input(p, &c->client.model, x, c->images->images + i * p->input_words);
            status = sotto_session_infer(s, logits, x);
        }
        if (status == SOTTO_OK) {
            compare(c, logits, x);
        }
    }
    sotto_session_close(s);
    sotto_pool_free(pool);
    sotto_free(x);
    sotto_free(logits);
    return status;
}

static void run(chain *c)
{
    sotto_model m, whole;
    sotto_program_weights weights;
    sotto_chan end[2];
    int status[2];
    assert_ok(sotto_model_load(&m, c->public_path, NULL));
    assert_ok(sotto_network_new(&c->client, &m));
    sotto_model_free(&m);
    assert_ok(sotto_model_load(&whole, c->public_path, c->weights_path));
    assert_ok(sotto_program_weights_new(&weights, &c->client.program, &whole));
    assert_ok(sotto_fixed_run_new(&c->reference, &c->client.program, &weights));
    c->share = sotto_calloc(c->client.program.step_count, sizeof *c->share);
    assert_non_null(c->share);
    for (size_t i = 0; i < c->client.program.step_count; i++) {
        c->share[i] = sotto_calloc(c->client.program.steps[i].words, sizeof **c->share);
        assert_non_null(c->share[i]);
    }
    test_chan_pair(&end[0], &end[1], PEER_MS);
    test_two_party_on(&end[0], serve, c, &end[1], ask, c, status);
    assert_ok(status[0]);
    assert_ok(status[1]);
    for (size_t i = 0; i < c->client.program.step_count; i++) {
        sotto_free(c->share[i]);
    }
    sotto_free(c->share);
    sotto_fixed_run_free(c->reference);
    sotto_program_weights_free(&weights);
    sotto_model_free(&whole);
    sotto_network_free(&c->client);
}

typedef struct tally {
    size_t networks, disagree; /* of those that are there; those that agree in too few predictions */
} tally;

static void test_network(tally *sum, const struct network *n, size_t count)
{
    char folder[] = "/tmp/sotto-chains-XXXXXX", public_path[64], weights_path[64];
    sotto_dataset d;
    size_t len;
    uint8_t *file = data_file(n->path, ".onnx", &len);
    if (file == NULL || !images(&d, n->images)) {
        print_message("%s or its images are not in SOTTO_DATA: skipped\n", n->path);
        sotto_free(file);
        return;
    }
    assert_non_null(mkdtemp(folder));
    snprintf(public_path, sizeof public_path, "%s/model.sotto", folder);
    snprintf(weights_path, sizeof weights_path, "%s/model.weights", folder);
    quantise(n, file, len, &d, public_path, weights_path);
    sotto_free(file);
    chain c = {.network = n, .public_path = public_path, .weights_path = weights_path, .images = &d, .count = count};
    run(&c);
    unlink(public_path);
    unlink(weights_path);
    rmdir(folder);
    sotto_dataset_free(&d);
    print_message("%s: %zu private runs equal the reference in every logit, %zu predict as plain fixed point\n", n->path, count, c.agree);
    sum->networks++;
    sum->disagree += 100 * c.agree < AGREE_PERCENT * count;
}

static void verdict(const tally *sum)
{
    if (sum->networks == 0) {
        skip();
    }
    assert_int_equal(0, sum->disagree);
}

static void test_first(void **state)
{
    tally sum = {0, 0};
    (void)state;
    test_network(&sum, &networks[0], 1);
    verdict(&sum);
}

static void test_all(void **state)
{
    tally sum = {0, 0};
    (void)state;
    if (getenv("SOTTO_TEST_LONG") == NULL) {
        skip();
    }
    for (size_t i = 0; i < NETWORKS; i++) {
        test_network(&sum, &networks[i], networks[i].count);
    }
    verdict(&sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first),
        cmocka_unit_test(test_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
