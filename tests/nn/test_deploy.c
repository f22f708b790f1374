/* The deployed graph computes what the trained one does; float inference against definitions. */
#include <math.h>
#include <stdio.h>

#include "nn/plain/float.h"
#include "tests/nn/fixture.h"

static void logits_of(const sotto_model *m, const float *x, float *out)
{
    sotto_float_run *run = NULL;
    assert_ok(sotto_float_run_new(&run, m));
    assert_ok(sotto_float_infer(run, x));
    memcpy(out, sotto_float_value(run, m->node_count - 1), sotto_shape_words(m->nodes[m->node_count - 1].shape) * sizeof *out);
    sotto_float_run_free(run);
}

static void compare(const char *text, uint64_t seed)
{
    const sotto_rng rng = test_rng(seed, 0);
    sotto_model m, deployed, twice;
    float x[4096], a[64], b[64];
    fixture_raw(&m, text, &rng);
    assert_ok(sotto_model_copy(&deployed, &m));
    assert_ok(sotto_model_deploy(&deployed));
    const size_t words = sotto_shape_words(m.nodes[0].shape), outputs = sotto_shape_words(m.nodes[m.node_count - 1].shape);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < words; i++) {
            x[i] = (float)test_below(&rng, 4001) / 1000.0f - 2.0f;
        }
        logits_of(&m, x, a);
        logits_of(&deployed, x, b);
        for (size_t i = 0; i < outputs; i++) {
            assert_true(fabsf(a[i] - b[i]) < 1e-4f * (1.0f + fabsf(a[i])));
        }
    }
    assert_ok(sotto_model_copy(&twice, &deployed));
    assert_ok(sotto_model_deploy(&twice)); /* idempotent */
    assert_int_equal(deployed.node_count, twice.node_count);
    for (size_t i = 0; i < twice.node_count; i++) {
        assert_int_not_equal(SOTTO_OP_BATCHNORM, twice.nodes[i].op);
        assert_string_equal(deployed.nodes[i].name, twice.nodes[i].name);
    }
    sotto_model_free(&m);
    sotto_model_free(&deployed);
    sotto_model_free(&twice);
}

static void test_same_function(void **state)
{
    (void)state;
    for (uint64_t k = 0; k < 5; k++) {
        compare(fixture_plain, test_seed() + k);
        compare(fixture_rich, test_seed() + k);
    }
}

typedef struct text_of {
    char data[4096];
    size_t len;
} text_of;

static void put(text_of *t, const char *format, unsigned a, unsigned b, unsigned c)
{
    const int n = snprintf(t->data + t->len, sizeof t->data - t->len, format, a, b, c);
    assert_true(n > 0 && (size_t)n < sizeof t->data - t->len);
    t->len += (size_t)n;
}

/* Blocks that keep the number of channels, drawn one after another: linear, linear after linear, with batch norm, relu and pool, a
 * residual edge around a block, average pools with and without overlap. */
static void random_network(text_of *t, const sotto_rng *rng)
{
    unsigned last = 0, side = 8;
    memset(t, 0, sizeof *t);
    put(t, "sotto-model 1\ninput 2x%ux%u\nconv n0 input out=4 kernel=3 pad=1\n", side, side, 0);
    const unsigned blocks = 2 + (unsigned)test_below(rng, 5);
    for (unsigned i = 0; i < blocks; i++) {
        const unsigned from = last;
        put(t, "conv n%u n%u out=4 kernel=3 pad=1 groups=%u\n", last + 1, last, 1 + (unsigned)test_below(rng, 2));
        last++;
        if (test_below(rng, 2)) {
            put(t, "batchnorm n%u n%u\n", last + 1, last, 0);
            last++;
        }
        if (test_below(rng, 3) == 0) {
            put(t, "add n%u n%u n%u\n", last + 1, last, from);
            last++;
        }
        if (test_below(rng, 3)) {
            put(t, "relu n%u n%u\n", last + 1, last, 0);
            last++;
        }
        if (test_below(rng, 2) && side >= 4) {
            const unsigned stride = 1 + (unsigned)test_below(rng, 2);
            put(t, test_below(rng, 2) ? "maxpool n%u n%u kernel=2 stride=%u\n" : "avgpool n%u n%u kernel=2 stride=%u\n", last + 1, last,
                stride);
            side = (side - 2) / stride + 1;
            last++;
        }
    }
    put(t, test_below(rng, 2) ? "globalavg n%u n%u\ndense n%u" : "flatten n%u n%u\ndense n%u", last + 1, last, last + 2);
    put(t, " n%u out=5\n", last + 1, 0, 0);
}

static void test_random_networks(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 2);
    for (int k = 0; k < 100; k++) {
        text_of t;
        random_network(&t, &rng);
        compare(t.data, test_u64(&rng));
    }
}

/* What deployment owes the protocol: no batch norm, no linear node on a value that is no fresh mask. The walk is this test's own. */
static int is_mask(const sotto_model *m, size_t at)
{
    const sotto_node *n = &m->nodes[at];
    const int spread = n->op == SOTTO_OP_FLATTEN || n->op == SOTTO_OP_GLOBALAVG ||
                       (n->op == SOTTO_OP_AVGPOOL && n->stride_h >= n->kernel_h && n->stride_w >= n->kernel_w);
    return at == 0 || n->op == SOTTO_OP_RELU || n->op == SOTTO_OP_IDENTITY || (spread && is_mask(m, n->input[0]));
}

static void test_random_networks_fit(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 3);
    size_t identities = 0, pools = 0;
    for (int k = 0; k < 200; k++) {
        text_of t;
        sotto_model bare, full;
        char *a, *b;
        size_t a_len, b_len;
        random_network(&t, &rng);
        assert_ok(sotto_model_parse(&bare, t.data, t.len));
        fixture_raw(&full, t.data, &rng);
        memset(full.id, 0, sizeof full.id);
        assert_ok(sotto_model_deploy(&bare));
        assert_ok(sotto_model_deploy(&full));
        assert_ok(sotto_model_print(&bare, &a, &a_len)); /* without weights the graph becomes the same */
        assert_ok(sotto_model_print(&full, &b, &b_len));
        assert_int_equal(a_len, b_len);
        assert_memory_equal(a, b, a_len);
        assert_true(sotto_model_has_weights(&full));
        for (size_t i = 1; i < bare.node_count; i++) {
            const sotto_node *n = &bare.nodes[i], *in = &bare.nodes[n->input[0]];
            assert_int_not_equal(SOTTO_OP_BATCHNORM, n->op);
            assert_true(!sotto_op_is_linear(n->op) || is_mask(&bare, n->input[0]));
            identities += n->op == SOTTO_OP_IDENTITY;
            if (n->op == SOTTO_OP_MAXPOOL && in->op == SOTTO_OP_RELU) { /* only where the relu is read elsewhere too */
                size_t readers = 0;
                for (size_t j = 1; j < bare.node_count; j++) {
                    readers += bare.nodes[j].input[0] == n->input[0];
                    readers += bare.nodes[j].op == SOTTO_OP_ADD && bare.nodes[j].input[1] == n->input[0];
                }
                assert_true(readers > 1);
            }
            pools += n->op == SOTTO_OP_MAXPOOL;
        }
        sotto_free(a);
        sotto_free(b);
        sotto_model_free(&bare);
        sotto_model_free(&full);
    }
    assert_true(identities > 50 && pools > 50);
}

static void test_plans_of_changed_nodes(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\ninput 1x4x4\nconv c input out=1 kernel=1\nbatchnorm b c\nrelu r b\nmaxpool p r kernel=2\n"
                               "dense d p out=2\nplan input scale=1 bits=9\nplan c weight-scale=1 weight-bits=8\nplan r f=1 k=9 u=4\n"
                               "plan p k=9 u=4\nplan d weight-scale=1 weight-bits=8 k=9\n";
    sotto_model m;
    assert_ok(sotto_model_parse(&m, text, sizeof text - 1));
    assert_ok(sotto_model_deploy(&m));
    static const char *const names[] = {"input", "c", "p", "r", "d"};
    static const int planned[] = {1, 0, 0, 0, 1};
    assert_int_equal(5, m.node_count);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(names[i], m.nodes[i].name);
        assert_int_equal(planned[i], m.nodes[i].plan.present);
    }
    sotto_model_free(&m);
}

/* Relus before a concatenation move behind the pool that reads it, as one; not where one of them, or the concatenation, is read elsewhere, or where a part is no relu. */
static void test_relus_of_a_concatenation(void **state)
{
    (void)state;
    static const char head[] = "sotto-model 1\ninput 2x6x6\nconv a input out=2 kernel=3\nrelu ra a\nconv b input out=3 kernel=3\nrelu rb b\nconv d input out=1 kernel=3\n";
    static const struct {
        const char *tail, *want; /* ops in order */
    } cases[] = {
        {"relu rd d\nconcat k ra rb\nconcat l k rd\nmaxpool p l kernel=3 stride=1\nconv e p out=2 kernel=1\nglobalavg g e\n",
         "input conv conv conv concat concat maxpool relu conv globalavg "},
        {"concat k ra rb\nmaxpool p k kernel=2\nconv e p out=2 kernel=1\nglobalavg g e\nglobalavg h d\nconcat l g h\n",
         "input conv conv conv concat maxpool relu conv globalavg globalavg concat "},
        {"concat k ra d\nconcat l k rb\nmaxpool p l kernel=2\nconv e p out=2 kernel=1\nglobalavg g e\n",
         "input conv relu conv relu conv concat concat maxpool identity conv globalavg "},
        {"relu rd d\nconcat k ra rb\nmaxpool p k kernel=1\nconcat l rb rd\nconcat q p l\nconv e q out=2 kernel=1\nglobalavg g e\n",
         "input conv relu conv relu conv relu concat maxpool concat concat identity conv globalavg "},
        {"relu rd d\nconcat k ra rb\nmaxpool p k kernel=1\nconcat l k rd\nconcat q p l\nconv e q out=2 kernel=1\nglobalavg g e\n",
         "input conv relu conv relu conv relu concat maxpool concat concat identity conv globalavg "},
        {"relu rd d\nconcat k rd rd\nmaxpool p k kernel=2\nconcat l ra rb\nmaxpool q l kernel=2\nconcat o p q\n", "input conv conv conv relu concat maxpool concat maxpool relu concat "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[768], got[256] = "";
        sotto_model m;
        snprintf(text, sizeof text, "%s%s", head, cases[i].tail);
        compare(text, test_seed() + i);
        assert_ok(sotto_model_parse(&m, text, strlen(text)));
        assert_ok(sotto_model_deploy(&m));
        for (size_t k = 0; k < m.node_count; k++) {
            strcat(strcat(got, sotto_op_name(m.nodes[k].op)), " ");
        }
        assert_string_equal(got, cases[i].want);
        assert_true(i > 0 || sotto_model_find(&m, "rd") + 1 == sotto_model_find(&m, "e"));
        sotto_model_free(&m);
    }
}

static void test_copy(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 4);
    sotto_model m, copy;
    fixture_raw(&m, fixture_rich, &rng);
    for (int failed = 1, k = 0; failed; k++) {
        sotto_calloc_fail_after(k);
        failed = sotto_model_copy(&copy, &m) != SOTTO_OK;
        sotto_calloc_fail_after(-1);
        assert_true(!failed || (copy.nodes == NULL && copy.node_count == 0));
    }
    const float before = m.nodes[1].tensor[0][0];
    copy.nodes[1].tensor[0][0] = before + 1.0f;
    copy.nodes[1].name[0] = 'z';
    assert_true(m.nodes[1].tensor[0][0] == before);
    assert_string_equal("c1", m.nodes[1].name);
    sotto_model_free(&copy);
    sotto_model_free(&m);
    assert_ok(sotto_model_copy(&copy, &m)); /* empty */
    assert_status(SOTTO_ERR_FORMAT, sotto_model_deploy(&copy));
    sotto_model_free(&copy);
}

static void test_name_taken(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\ninput 1x4x4\nrelu d.in input\nconv c d.in out=1 kernel=1\ndense d c out=2\n";
    sotto_model m;
    assert_ok(sotto_model_parse(&m, text, sizeof text - 1));
    assert_ok(sotto_model_deploy(&m));
    assert_int_equal(5, m.node_count);
    assert_string_equal(m.nodes[3].name, "d.in2");
    assert_int_equal(m.nodes[3].op, SOTTO_OP_IDENTITY);
    sotto_model_free(&m);
}

static void test_rewrites(void **state)
{
    (void)state;
    sotto_model m;
    const sotto_rng rng = test_rng(1, 0);
    fixture_raw(&m, fixture_rich, &rng);
    assert_ok(sotto_model_deploy(&m));
    assert_true(sotto_model_find(&m, "b1") == SIZE_MAX);
    assert_true(sotto_model_find(&m, "m1") < sotto_model_find(&m, "r3"));  /* the maximum first */
    const size_t i5 = sotto_model_find(&m, "c5.in");                       /* linear after linear */
    assert_true(i5 != SIZE_MAX && m.nodes[i5].op == SOTTO_OP_IDENTITY);
    assert_int_equal(i5, m.nodes[sotto_model_find(&m, "c5")].input[0]);
    assert_true(sotto_model_find(&m, "f1.in") == SIZE_MAX);                /* a global average of masks is a fresh mask */
    sotto_model_free(&m);
}

/* Batch norms that follow no linear node of their own: one reads the image, one what an addition reads as well, one an addition. */
static void test_batchnorm_alone(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\ninput 2x4x4\nbatchnorm b0 input\nconv c b0 out=3 kernel=3 pad=1\nbatchnorm b c\nadd a b c\nbatchnorm b2 a\n"
                               "relu r b2\ndense d r out=2\n";
    sotto_model m;
    const sotto_rng rng = test_rng(1, 0);
    for (uint64_t k = 0; k < 5; k++) {
        compare(text, test_seed() + k);
    }
    fixture_raw(&m, text, &rng);
    assert_ok(sotto_model_deploy(&m));
    const sotto_node *b = &m.nodes[sotto_model_find(&m, "b")];
    assert_int_equal(b->op, SOTTO_OP_CONV);
    assert_int_equal(b->groups, 3);
    assert_null(b->tensor[2]);
    assert_int_equal(m.nodes[b->input[0]].op, SOTTO_OP_IDENTITY); /* it reads a linear node */
    assert_true(sotto_model_find(&m, "c.in") == SIZE_MAX || m.nodes[sotto_model_find(&m, "b0")].op == SOTTO_OP_CONV);
    sotto_model_free(&m);
    assert_ok(sotto_model_parse(&m, text, sizeof text - 1)); /* without weights alike */
    assert_ok(sotto_model_deploy(&m));
    assert_int_equal(m.nodes[sotto_model_find(&m, "b")].op, SOTTO_OP_CONV);
    sotto_model_free(&m);
}

static void test_memory_failure(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(1, 0);
    sotto_model m;
    fixture_raw(&m, fixture_rich, &rng);
    const size_t before = m.node_count;
    int failed = 1;
    for (long k = 0; failed; k++) {
        sotto_calloc_fail_after(k);
        failed = sotto_model_deploy(&m) != SOTTO_OK;
        sotto_calloc_fail_after(-1);
        assert_true(!failed || m.node_count == before);
    }
    sotto_model_free(&m);
}

/* A convolution by its definition: an output is the sum over all kernel positions of padded input times weight. */
static void test_convolution_by_definition(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 0);
    for (int round = 0; round < 60; round++) {
        char text[256];
        const unsigned groups = 1 + (unsigned)test_below(&rng, 2), c = groups * (1 + (unsigned)test_below(&rng, 2)),
                       out = groups * (1 + (unsigned)test_below(&rng, 3)), kh = 1 + (unsigned)test_below(&rng, 3),
                       kw = 1 + (unsigned)test_below(&rng, 3), sh = 1 + (unsigned)test_below(&rng, 2), sw = 1 + (unsigned)test_below(&rng, 3),
                       pt = (unsigned)test_below(&rng, kh), pl = (unsigned)test_below(&rng, kw), pb = (unsigned)test_below(&rng, kh),
                       pr = (unsigned)test_below(&rng, kw);
        snprintf(text, sizeof text, "sotto-model 1\ninput %ux5x6\nconv c input out=%u kernel=%ux%u stride=%ux%u pad=%u,%u,%u,%u groups=%u\n", c,
                 out, kh, kw, sh, sw, pt, pl, pb, pr, groups);
        sotto_model m;
        float x[4 * 5 * 6], got[4096];
        fixture_raw(&m, text, &rng);
        for (size_t i = 0; i < (size_t)c * 30; i++) {
            x[i] = (float)test_below(&rng, 200) / 100.0f - 1.0f;
        }
        logits_of(&m, x, got);
        const sotto_node *n = &m.nodes[1];
        for (unsigned o = 0; o < out; o++) {
            for (unsigned y = 0; y < n->shape.h; y++) {
                for (unsigned z = 0; z < n->shape.w; z++) {
                    double sum = n->tensor[1][o];
                    for (unsigned k = 0; k < c / groups; k++) {
                        for (unsigned u = 0; u < kh; u++) {
                            for (unsigned v = 0; v < kw; v++) {
                                const int row = (int)(y * sh + u) - (int)pt, col = (int)(z * sw + v) - (int)pl;
                                const unsigned channel = o / (out / groups) * (c / groups) + k;
                                if (row >= 0 && row < 5 && col >= 0 && col < 6) {
                                    sum += (double)x[(channel * 5 + (unsigned)row) * 6 + (unsigned)col] *
                                           n->tensor[0][((o * (c / groups) + k) * kh + u) * kw + v];
                                }
                            }
                        }
                    }
                    assert_true(fabs(sum - (double)got[(o * n->shape.h + y) * n->shape.w + z]) < 1e-4);
                }
            }
        }
        sotto_model_free(&m);
    }
}

static void test_pools_by_hand(void **state)
{
    (void)state;
    static const char text[] = "sotto-model 1\ninput 1x3x3\nmaxpool m input kernel=2 stride=2 pad=0,0,1,1\navgpool a input kernel=2 stride=2 pad=0,0,1,1\n"
                               "add s m a\n";
    const float x[9] = {1, 2, -3, 4, -5, 6, -7, -8, -9};
    const float most[4] = {4, 6, -7, -9}, mean[4] = {0.5f, 0.75f, -3.75f, -2.25f};
    sotto_model m;
    sotto_float_run *run = NULL;
    assert_ok(sotto_model_parse(&m, text, sizeof text - 1));
    assert_ok(sotto_float_run_new(&run, &m));
    assert_ok(sotto_float_infer(run, x));
    for (size_t i = 0; i < 4; i++) {
        assert_true(sotto_float_value(run, 1)[i] == most[i]);
        assert_true(sotto_float_value(run, 2)[i] == mean[i]);
        assert_true(sotto_float_value(run, 3)[i] == most[i] + mean[i]);
    }
    sotto_float_run_free(run);
    sotto_model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_function),  cmocka_unit_test(test_rewrites),                  cmocka_unit_test(test_batchnorm_alone),
        cmocka_unit_test(test_memory_failure), cmocka_unit_test(test_convolution_by_definition), cmocka_unit_test(test_pools_by_hand),
        cmocka_unit_test(test_random_networks), cmocka_unit_test(test_random_networks_fit),     cmocka_unit_test(test_plans_of_changed_nodes),
        cmocka_unit_test(test_copy),           cmocka_unit_test(test_name_taken),               cmocka_unit_test(test_relus_of_a_concatenation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
