/* Losses and gradients against finite differences in double, and against closed forms. */
#include <math.h>

#include "lib/mem.h"
#include "nn/train/loss.h"
#include "tests/support/support.h"

enum { COUNT = 3, CLASSES = 5 };

/* The loss of one image as its definition says, in double. */
static double reference(const double *z, const double *teacher, size_t label, const sotto_loss_options *o)
{
    double loss = 0.0;
    const double t = o->temperature, w = teacher == NULL ? 0.0 : o->distill;
    double sum = 0.0, soft = 0.0, teacher_soft = 0.0;
    for (size_t k = 0; k < CLASSES; k++) {
        sum += exp(z[k]);
        soft += exp(z[k] / t);
        teacher_soft += teacher == NULL ? 0.0 : exp(teacher[k] / t);
    }
    for (size_t k = 0; k < CLASSES; k++) {
        const double q = o->smoothing / CLASSES + (k == label ? 1.0 - o->smoothing : 0.0);
        loss -= (1.0 - w) * q * log(exp(z[k]) / sum);
        if (teacher != NULL) {
            const double r = exp(teacher[k] / t) / teacher_soft;
            loss += w * t * t * r * log(r / (exp(z[k] / t) / soft));
        }
    }
    return loss;
}

static double uniform(const sotto_rng *rng)
{
    return (double)test_below(rng, 1u << 20) / (1 << 19) - 1.0;
}

static void test_against_differences(void **state)
{
    static const sotto_loss_options all[] = {{0.0, 1.0, 0.0}, {0.1, 1.0, 0.0}, {0.0, 4.0, 0.9}, {0.3, 2.0, 0.5}, {0.9, 0.5, 1.0}, {0.2, 20.0, 0.25}};
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 1);
    for (size_t i = 0; i < 2 * (sizeof all / sizeof *all); i++) {
        const sotto_loss_options *o = &all[i / 2];
        float z[COUNT * CLASSES], teacher[COUNT * CLASSES], g[COUNT * CLASSES];
        double zd[COUNT * CLASSES], td[COUNT * CLASSES], loss = 0.5, right = 2.0, want = 0.5;
        uint16_t labels[COUNT];
        for (size_t k = 0; k < COUNT * CLASSES; k++) {
            zd[k] = (double)(z[k] = (float)(3.0 * uniform(&rng)));
            td[k] = (double)(teacher[k] = (float)(3.0 * uniform(&rng)));
        }
        for (size_t n = 0; n < COUNT; n++) {
            labels[n] = (uint16_t)test_below(&rng, CLASSES);
        }
        sotto_loss(g, &loss, &right, z, i % 2 ? teacher : NULL, labels, COUNT, CLASSES, o);
        double answers = 2.0;
        for (size_t n = 0; n < COUNT; n++) {
            const double *t = i % 2 ? td + n * CLASSES : NULL;
            size_t best = 0;
            want += reference(zd + n * CLASSES, t, labels[n], o);
            for (size_t k = 0; k < CLASSES; k++) {
                const double h = 1e-5, keep = zd[n * CLASSES + k];
                zd[n * CLASSES + k] = keep + h;
                const double up = reference(zd + n * CLASSES, t, labels[n], o);
                zd[n * CLASSES + k] = keep - h;
                const double down = reference(zd + n * CLASSES, t, labels[n], o);
                zd[n * CLASSES + k] = keep;
                /* differences: 1e-10 of h^2 and 1e-11 of rounding; the gradient is stored as float */
                assert_true(fabs((up - down) / (2.0 * h) / COUNT - (double)g[n * CLASSES + k]) < 1e-6);
                best = zd[n * CLASSES + k] > zd[n * CLASSES + best] ? k : best;
            }
            answers += best == labels[n];
        }
        assert_true(fabs(loss - want) < 1e-9);
        assert_true(right == answers);
    }
}

/* Logits far apart neither overflow nor turn into NaN; equal ones give log(classes). */
static void test_extremes(void **state)
{
    (void)state;
    const sotto_loss_options o = {.smoothing = 0.0, .temperature = 1.0, .distill = 0.5};
    const float far[CLASSES] = {-1e30f, 1e4f, -1e4f, 0.0f, 9e3f}, equal[CLASSES] = {7.0f, 7.0f, 7.0f, 7.0f, 7.0f};
    const uint16_t one = 1, two = 2;
    float g[CLASSES];
    double loss = 0.0, right = 0.0;
    sotto_loss(g, &loss, &right, far, NULL, &one, 1, CLASSES, &o);
    assert_true(loss == 0.0 && right == 1.0);
    sotto_loss(g, &loss, &right, far, NULL, &two, 1, CLASSES, &o);
    assert_true(loss == 2e4 && right == 1.0);
    assert_true(g[1] == 1.0f && g[2] == -1.0f && g[3] == 0.0f);
    loss = 0.0;
    sotto_loss(g, &loss, &right, equal, equal, &two, 1, CLASSES, &o);
    assert_true(fabs(loss - 0.5 * log(CLASSES)) < 1e-12); /* a student like its teacher has nothing to lose there */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_differences), cmocka_unit_test(test_extremes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
