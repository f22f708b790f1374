#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "nn/model/deploy.h"
#include "nn/model/text.h"
#include "nn/onnx/onnx.h"
#include "nn/plain/float.h"

/* Every op, in forms that come back as they are: no identity unit, no flatten before a dense node. */
static const char same_graph[] = "sotto-model 1\nname all\ninput 3x9x9 mean=0.485,0.456,0.406 std=0.229,0.224,0.225\n"
                                 "conv c1 input out=6 kernel=3x3 stride=2x1 pad=1,0,1,2 groups=3\n"
                                 "batchnorm n1 c1 epsilon=1e-3\n"
                                 "relu r1 n1\n"
                                 "conv c2 r1 out=6 kernel=1x1\n"
                                 "clip k2 c2\n"
                                 "add s2 k2 r1\n"
                                 "act a2 s2\n"
                                 "act a3 s2\n"
                                 "act a4 s2\n"
                                 "concat j a2 a3\n"
                                 "concat j2 j a4\n"
                                 "maxpool p1 j2 kernel=3x2 stride=2 pad=1,0,1,1\n"
                                 "avgpool p2 p1 kernel=2x2 stride=2 pad=1,1,0,0\n"
                                 "avgpool p3 p2 kernel=1x1 stride=2\n"
                                 "pad z p3 pad=1,0,0,1 channels=2,3\n"
                                 "globalavg g z\n"
                                 "batchnorm n2 g\n"
                                 "dense d g out=7\n"
                                 "dense e n2 out=7\n"
                                 "add f d e\n"
                                 "clip k3 f\n"
                                 "act a5 k3\n"
                                 "dense out a5 out=4\n"
                                 "units a2 0 relu,identity,relu*3,identity\n"
                                 "units a3 0 square*3,identity,zero,square\n"
                                 "units a4 0 cubic,square,identity,zero,cubic*2\n"
                                 "units a5 0 square*7\n";

/* The same function in another graph: what is read has fewer nodes. */
static const char other_graph[] = "sotto-model 1\nname other\ninput 2x6x6\n"
                                  "conv c1 input out=4 kernel=3x3 pad=1\n"
                                  "identity i1 c1\n"
                                  "relu r1 i1\n"
                                  "flatten f r1\n"
                                  "dense d1 f out=5\n"
                                  "dense d2 r1 out=5\n"
                                  "add s d1 d2\n"
                                  "act a s\n"
                                  "act b s\n"
                                  "flatten f2 b\n"
                                  "add t a f2\n"
                                  "units a 0 identity*5\n"
                                  "units b 0 zero,identity*4\n";

/* A model with weights such that nothing is a special case by chance. */
static void make(sotto_model *m, const char *text, const sotto_rng *rng)
{
    assert_ok(sotto_model_parse(m, text, strlen(text)));
    assert_ok(sotto_model_init_weights(m, rng));
    for (size_t i = 0; i < m->node_count; i++) {
        const sotto_node *n = &m->nodes[i];
        for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
            for (size_t k = 0; k < sotto_tensor_count(m, n, t); k++) {
                const float v = (float)test_below(rng, 1u << 20) / (float)(1u << 19) - 1.0f;
                const size_t term = k % SOTTO_POLY_TERMS, channel = n->op == SOTTO_OP_ACT ? k / SOTTO_POLY_TERMS : 0;
                const int positive = n->op == SOTTO_OP_CLIP || (n->op == SOTTO_OP_BATCHNORM && t == 3);
                const unsigned kind = n->op == SOTTO_OP_ACT ? n->units[channel].kind : SOTTO_UNIT_CUBIC;
                const int counts = kind == SOTTO_UNIT_CUBIC || (kind == SOTTO_UNIT_SQUARE && term < 3);
                n->tensor[t][k] = !counts ? 0.0f : positive ? v + 1.5f : v;
            }
        }
    }
}

static void same_results(const sotto_model *a, const sotto_model *b, const sotto_rng *rng)
{
    const size_t in = sotto_shape_words(a->nodes[0].shape), out = sotto_shape_words(a->nodes[a->node_count - 1].shape);
    sotto_float_run *runs[2];
    uint8_t *pixels = sotto_calloc(in, 1);
    float *image = sotto_calloc(in, sizeof *image);
    assert_true(pixels != NULL && image != NULL);
    assert_int_equal(sotto_shape_words(b->nodes[b->node_count - 1].shape), out);
    assert_ok(sotto_float_run_new(&runs[0], a));
    assert_ok(sotto_float_run_new(&runs[1], b));
    for (unsigned k = 0; k < 8; k++) {
        const sotto_model *m[2] = {a, b};
        for (size_t i = 0; i < in; i++) {
            pixels[i] = (uint8_t)test_below(rng, 256);
        }
        for (unsigned s = 0; s < 2; s++) {
            sotto_normalise(m[s], image, pixels);
            assert_ok(sotto_float_infer(runs[s], image));
        }
        assert_memory_equal(sotto_float_value(runs[0], a->node_count - 1), sotto_float_value(runs[1], b->node_count - 1), out * sizeof(float));
    }
    sotto_float_run_free(runs[0]);
    sotto_float_run_free(runs[1]);
    sotto_free(pixels);
    sotto_free(image);
}

static void write_and_read(const sotto_model *m, sotto_model *again)
{
    uint8_t *data;
    size_t len;
    assert_ok(sotto_onnx_write(m, &data, &len));
    assert_ok(sotto_onnx_read(again, data, len, NULL));
    sotto_free_secret(data, len, 1);
}

static void test_same_graph(void **state)
{
    const sotto_rng rng = test_rng(test_seed(), 1);
    sotto_model m, again;
    char *text[2];
    size_t len[2];
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        make(&m, same_graph, &rng);
        write_and_read(&m, &again);
        assert_ok(sotto_model_print(&m, &text[0], &len[0]));
        assert_ok(sotto_model_print(&again, &text[1], &len[1]));
        assert_string_equal(text[0], text[1]);
        for (size_t i = 0; i < m.node_count; i++) {
            for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
                const size_t count = sotto_tensor_count(&m, &m.nodes[i], t);
                assert_true(count == 0 || memcmp(m.nodes[i].tensor[t], again.nodes[i].tensor[t], count * sizeof(float)) == 0);
            }
        }
        same_results(&m, &again, &rng);
        sotto_free(text[0]);
        sotto_free(text[1]);
        sotto_model_free(&m);
        sotto_model_free(&again);
    }
}

static void test_other_graph(void **state)
{
    const sotto_rng rng = test_rng(test_seed(), 2);
    sotto_model m, again, third;
    (void)state;
    make(&m, other_graph, &rng);
    write_and_read(&m, &again);
    assert_true(again.node_count < m.node_count);
    assert_true(sotto_model_find(&again, "i1") == SIZE_MAX && sotto_model_find(&again, "d1") != SIZE_MAX);
    same_results(&m, &again, &rng);
    write_and_read(&again, &third); /* from here on nothing changes */
    assert_int_equal(third.node_count, again.node_count);
    same_results(&m, &third, &rng);
    sotto_model_free(&third);
    sotto_model_free(&again);
    sotto_model_free(&m);
}

/* Batch norms folded, pools exchanged, identity units put in. */
static void test_deployed(void **state)
{
    static const char text[] = "sotto-model 1\nname d\ninput 2x8x8 mean=0.5,0.25 std=0.25,0.5\nconv c1 input out=4 kernel=3x3\nbatchnorm n1 c1\nrelu r1 n1\nmaxpool p1 r1 kernel=2x2\n"
                               "conv c2 p1 out=4 kernel=3x3 pad=1\nconv c3 c2 out=4 kernel=1x1\nrelu r3 c3\ndense o r3 out=3\n";
    const sotto_rng rng = test_rng(test_seed(), 3);
    sotto_model m, again;
    (void)state;
    make(&m, text, &rng);
    assert_ok(sotto_model_deploy(&m));
    write_and_read(&m, &again);
    same_results(&m, &again, &rng);
    sotto_model_free(&again);
    sotto_model_free(&m);
}

/* Normalisations, as nodes in the file, come back to the last bit. */
static void test_normalisation(void **state)
{
    static const char text[] = "sotto-model 1\nname n\ninput 16x1x1\nrelu r input\n";
    const sotto_rng rng = test_rng(test_seed(), 4);
    sotto_model m, again;
    (void)state;
    make(&m, text, &rng);
    for (unsigned round = 0; round < 500; round++) {
        for (unsigned c = 0; c < 16; c++) {
            m.mean[c] = (float)test_below(&rng, 1u << 24) / (float)(1u << 24);
            m.std[c] = (float)(test_below(&rng, 1u << 24) + 1) / (float)(1u << (10 + test_below(&rng, 20)));
        }
        write_and_read(&m, &again);
        assert_memory_equal(m.mean, again.mean, sizeof m.mean);
        assert_memory_equal(m.std, again.std, sizeof m.std);
        sotto_model_free(&again);
    }
    sotto_model_free(&m);
}

/* What ONNX has no operator for. */
static void test_refused(void **state)
{
    static const char *const texts[] = {
        "sotto-model 1\ninput 1x4x4\nact a input\nunits a 0 relu2x2\n",
        "sotto-model 1\ninput 1x4x4\nact a input\nmask a 0 00ff\n",
        "sotto-model 1\ninput 2x4x4\nact a input\nunits a 0 relu,square\n",
        "sotto-model 1\ninput 2x4x4\nact a input\nunits a 0 relu,zero\n",
    };
    const sotto_rng rng = test_rng(test_seed(), 5);
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sotto_model m;
        uint8_t *data = (uint8_t *)&m;
        size_t len = 1;
        make(&m, texts[i], &rng);
        assert_status(SOTTO_ERR_UNSUPPORTED, sotto_onnx_write(&m, &data, &len));
        assert_non_null(strstr(sotto_error_message(), "node a"));
        assert_true(data == NULL && len == 0);
        sotto_model_free(&m);
    }
    sotto_model bare;
    uint8_t *data;
    size_t len;
    assert_ok(sotto_model_parse(&bare, same_graph, strlen(same_graph)));
    assert_status(SOTTO_ERR_ARG, sotto_onnx_write(&bare, &data, &len));
    sotto_model_free(&bare);
}

static void test_memory(void **state)
{
    const sotto_rng rng = test_rng(test_seed(), 6);
    sotto_model m;
    uint8_t *data;
    size_t len;
    (void)state;
    make(&m, same_graph, &rng);
    for (long k = 0;; k++) {
        sotto_calloc_fail_after(k);
        const int status = sotto_onnx_write(&m, &data, &len);
        sotto_calloc_fail_after(-1);
        if (status == SOTTO_OK) {
            assert_true(k > 100);
            sotto_free_secret(data, len, 1);
            break;
        }
        assert_int_equal(status, SOTTO_ERR_MEMORY);
        assert_null(data);
    }
    sotto_model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_graph),    cmocka_unit_test(test_other_graph), cmocka_unit_test(test_deployed),
        cmocka_unit_test(test_normalisation), cmocka_unit_test(test_refused),     cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
