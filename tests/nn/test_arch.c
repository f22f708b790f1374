/* The architectures that come with sotto: each loads under its own name, and has the parameters, multiplications and ReLUs that papers and public code state. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "nn/model/weights.h"
#include "tests/support/support.h"

#define FOLDER "nn/arch"

typedef struct figures {
    const char *name;
    size_t parameters; /* trained ones as others count them: no bias under a batch norm */
    uint64_t macs;     /* multiply-accumulates of convolutions and dense layers */
    size_t relus; /* values under a ReLU or ReLU6 */
    size_t outputs;
} figures;

/* Parameters and MACs of the ImageNet networks and parameters of MobileNetV2 (3,504,872 with 1000 classes) are those that torchvision's documentation lists; parameters of
 * ResNet-20 to -56 agree with He et al. 2015, table 6 (0.27, 0.46, 0.66, 0.85 million); ReLUs of MiniONN and ResNet-32 with what Delphi's paper counts. The other figures
 * were counted by hand. */
static const figures table[] = {
    {"lenet", 61706, 416520, 6508, 10},
    {"lenet-cifar", 62006, 651720, 6508, 10},
    {"minionn", 164954, 61089792, 173056, 10},
    {"minionn-relu6", 164954, 61089792, 173056, 10},
    {"resnet8", 75290, 12239488, 73728, 10},
    {"resnet8-projection", 78042, 12501632, 73728, 10},
    {"resnet20", 269722, 40551040, 188416, 10},
    {"resnet20-projection", 272474, 40813184, 188416, 10},
    {"resnet32", 464154, 68862592, 303104, 10},
    {"resnet32-projection", 466906, 69124736, 303104, 10},
    {"resnet44", 658586, 97174144, 417792, 10},
    {"resnet44-projection", 661338, 97436288, 417792, 10},
    {"resnet56", 853018, 125485696, 532480, 10},
    {"resnet56-projection", 855770, 125747840, 532480, 10},
    {"resnet18", 11173962, 555422720, 557056, 10},
    {"resnet18-imagenet", 11689512, 1814073344, 2308096, 1000},
    {"resnet50", 25557032, 4089184256, 9608704, 1000},
    {"squeezenet1.1", 1235496, 349151936, 2589352, 1000},
    {"mobilenetv2", 2236682, 87976448, 1502208, 10},
    {"fashion-resnet", 169834, 13874304, 43904, 10},
};

static size_t readers_with_op(const sotto_model *m, size_t node, sotto_op op)
{
    size_t count = 0;
    for (size_t i = node + 1; i < m->node_count; i++) {
        for (unsigned k = 0; k < sotto_op_inputs(m->nodes[i].op); k++) {
            count += m->nodes[i].input[k] == node && m->nodes[i].op == op;
        }
    }
    return count;
}

static figures measure(const sotto_model *m)
{
    figures f = {.outputs = sotto_shape_words(m->nodes[m->node_count - 1].shape)};
    for (size_t i = 1; i < m->node_count; i++) {
        const sotto_node *n = &m->nodes[i];
        const int norm = n->op == SOTTO_OP_BATCHNORM;
        f.macs += sotto_node_macs(m, n);
        if (norm || sotto_op_is_linear(n->op)) {
            f.parameters += sotto_tensor_count(m, n, 0);
            f.parameters += readers_with_op(m, i, SOTTO_OP_BATCHNORM) > 0 ? 0 : sotto_tensor_count(m, n, 1);
        }
        f.relus += n->op == SOTTO_OP_RELU || n->op == SOTTO_OP_CLIP ? sotto_shape_words(n->shape) : 0;
    }
    return f;
}

static void load(sotto_model *m, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, FOLDER "/%s.arch", name);
    assert_ok(sotto_model_load(m, path, NULL));
}

static void test_figures(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        sotto_model m;
        load(&m, table[i].name);
        const figures f = measure(&m);
        if (strcmp(m.name, table[i].name) != 0 || f.parameters != table[i].parameters || f.macs != table[i].macs || f.relus != table[i].relus ||
            f.outputs != table[i].outputs) {
            fail_msg("%s: name %s, %zu parameters, %llu MACs, %zu ReLUs, %zu outputs", table[i].name, m.name, f.parameters, (unsigned long long)f.macs,
                     f.relus, f.outputs);
        }
        assert_false(sotto_model_has_weights(&m));
        sotto_model_free(&m);
    }
}

/* A file that nobody entered above would go untested. */
static void test_all_known(void **state)
{
    size_t files = 0;
    (void)state;
    DIR *d = opendir(FOLDER);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        const char *dot = strrchr(e->d_name, '.');
        if (dot == NULL || strcmp(dot, ".arch") != 0) {
            continue;
        }
        size_t i = 0;
        while (i < sizeof table / sizeof *table &&
               (strlen(table[i].name) != (size_t)(dot - e->d_name) || strncmp(table[i].name, e->d_name, (size_t)(dot - e->d_name)) != 0)) {
            i++;
        }
        if (i == sizeof table / sizeof *table) {
            fail_msg("%s is not in the table of this test", e->d_name);
        }
        files++;
    }
    (void)closedir(d);
    assert_int_equal(sizeof table / sizeof *table, files);
}

/* Option A: the shortcut takes the top left pixel of each square of four and puts its channels in the middle of twice as many. */
static void test_shortcut(void **state)
{
    sotto_model m;
    (void)state;
    load(&m, "resnet20");
    const sotto_node *sample = &m.nodes[sotto_model_find(&m, "q2.1")], *pad = &m.nodes[sotto_model_find(&m, "s2.1")];
    assert_true(sample->op == SOTTO_OP_AVGPOOL && sample->kernel_h == 1 && sample->kernel_w == 1 && sample->stride_h == 2 && sample->stride_w == 2);
    assert_true(sample->shape.c == 16 && sample->shape.h == 16 && sample->shape.w == 16);
    assert_true(pad->op == SOTTO_OP_PAD && pad->pad_front == 8 && pad->pad_back == 8 && pad->shape.c == 32 && pad->shape.h == 16);
    sotto_model_free(&m);
}

/* What a ReLU costs: a clip decides twice, a pool three times for a window of four. At most 100,000 is what the shipped demonstrations are made for. */
static void test_decisions(void **state)
{
    sotto_model m;
    size_t decisions = 0;
    (void)state;
    load(&m, "minionn-relu6");
    for (size_t i = 0; i < m.node_count; i++) {
        decisions += sotto_node_decisions(&m.nodes[i]);
    }
    assert_int_equal(2 * 173056, decisions);
    sotto_model_free(&m);
    load(&m, "fashion-resnet");
    const sotto_node *pool = &m.nodes[sotto_model_find(&m, "p0")];
    decisions = 3 * sotto_shape_words(pool->shape);
    for (size_t i = 0; i < m.node_count; i++) {
        decisions += sotto_node_decisions(&m.nodes[i]);
    }
    assert_int_equal(62720, decisions);
    assert_true(decisions <= 100000);
    sotto_model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_all_known),
        cmocka_unit_test(test_shortcut),
        cmocka_unit_test(test_decisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
