#include <locale.h>
#include <stdio.h>

#include "tests/nn/fixture.h"

static void round_trip(const char *text)
{
    sotto_model a, b;
    char *first = NULL, *second = NULL;
    size_t first_len, second_len;
    assert_ok(sotto_model_parse(&a, text, strlen(text)));
    assert_ok(sotto_model_print(&a, &first, &first_len));
    assert_ok(sotto_model_parse(&b, first, first_len));
    assert_ok(sotto_model_print(&b, &second, &second_len));
    assert_int_equal(first_len, second_len);
    assert_memory_equal(first, second, first_len);
    assert_memory_equal(a.public_hash, b.public_hash, sizeof a.public_hash);
    assert_int_equal(a.node_count, b.node_count);
    for (size_t i = 0; i < a.node_count; i++) {
        sotto_node x = a.nodes[i], y = b.nodes[i];
        const size_t words = sotto_shape_words(x.shape);
        assert_int_equal(x.mask == NULL, y.mask == NULL);
        for (size_t j = 0; x.mask != NULL && j < words; j++) {
            assert_int_equal(sotto_node_masked_in(&x, j), sotto_node_masked_in(&y, j));
        }
        for (uint32_t c = 0; x.units != NULL && c < x.shape.c; c++) {
            assert_memory_equal(&x.units[c], &y.units[c], sizeof x.units[c]);
        }
        assert_int_equal(x.windows == NULL, y.windows == NULL);
        assert_true(x.windows == NULL || memcmp(x.windows, y.windows, x.shape.c) == 0);
        x.mask = y.mask = x.windows = y.windows = NULL;
        x.units = y.units = NULL;
        assert_memory_equal(&x, &y, sizeof x);
    }
    sotto_free(first);
    sotto_free(second);
    sotto_model_free(&a);
    sotto_model_free(&b);
}

static const char planned[] = "sotto-model 1\n"
                              "name planned\n"
                              "# a comment\n"
                              "\n"
                              "input 1x4x4 mean=0.25 std=0.125\n"
                              "label a b/c\n"
                              "label second\n"
                              "conv c1 input out=3 kernel=3x2 stride=2x1 pad=1,0,1,1\n"
                              "relu r1 c1\n"
                              "maxpool m1 r1 kernel=2 stride=1\n"
                              "identity i1 m1\n"
                              "dense f1 i1 out=2\n"
                              "plan input scale=0.10000000000000001 bits=9\n"
                              "plan c1 weight-scale=0.015625 weight-bits=8 he=4096:46,46\n"
                              "plan r1 f=9 k=18 u=6\n"
                              "windows r1 0 18,16*2\n"
                              "plan m1 k=11 u=7\n"
                              "plan i1 f=0 k=9\n"
                              "plan f1 weight-scale=1e-3 weight-bits=6 he=4096:36,36,36 k=20\n";

static const char units[] = "sotto-model 1\n"
                            "input 6x3x3\n"
                            "conv c1 input out=60 kernel=1\n"
                            "batchnorm n1 c1 epsilon=0.001\n"
                            "batchnorm n2 n1\n"
                            "clip l1 n2\n"
                            "act a1 l1\n"
                            "act a2 input\n"
                            "pad p1 a2 pad=1,0,2,3 channels=4,50\n"
                            "pad p2 p1 channels=0,0 pad=1\n"
                            "pad p3 input pad=4\n"
                            "concat k1 p1 p1\n"
                            "mask a2 8 f0\n"
                            "plan a1 f=9 k=18 u=6 poly=7,14,9,24,1\n"
                            "windows a1 0 12*30,9\n"
                            "windows a1 31 18*29\n";

/* Units of every kind and more runs than a line takes, a mask with more values than one takes. */
static void test_units(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len;
    sotto_model m;
    char all[8192] = "sotto-model 1\ninput 2x96x97\nconv c input out=70 kernel=1\nact a c\n"
                     "units a 0 relu*3,relu2x3,identity,zero*2,square,cubic*4\n";
    for (unsigned c = 12; c < 70; c += 2) {
        char line[64];
        snprintf(line, sizeof line, "units a %u relu%ux1,relu\n", c, 1 + c % 7);
        strcat(all, line);
    }
    strcat(all, "mask a 16 00ff7f\nmask a 9304 fe\n"); /* 9312 values a channel: the second lies in channel 0 still */
    assert_ok(sotto_model_parse(&m, all, strlen(all)));
    const sotto_node *a = &m.nodes[2];
    static const uint8_t kinds[12] = {0, 0, 0, 0, 1, 2, 2, 3, 4, 4, 4, 4};
    for (unsigned c = 0; c < 12; c++) {
        assert_int_equal(kinds[c], a->units[c].kind);
    }
    assert_int_equal(2, a->units[3].block_h);
    assert_int_equal(3, a->units[3].block_w);
    assert_int_equal(1 + 14 % 7, a->units[14].block_h);
    for (size_t i = 0; i < sotto_shape_words(a->shape); i++) {
        const int linear = (i >= 16 && i < 24) || i == 39 || i == 9304;
        assert_int_equal(!linear, sotto_node_masked_in(a, i));
    }
    assert_ok(sotto_model_print(&m, &text, &len));
    text[len] = '\0';
    round_trip(text);
    sotto_free(text);
    sotto_model_free(&m);
}

/* More runs than a line takes, on every kind of node that has windows, given in pieces and not in order. */
static void test_windows(void **state)
{
    (void)state;
    static const char *const nodes[] = {"r", "l", "a", "p"};
    char *text = NULL;
    size_t len;
    sotto_model m;
    char all[16384] = "sotto-model 1\ninput 2x4x4\nconv c input out=200 kernel=1\nrelu r c\nclip l r\nact a l\nmaxpool p a kernel=2\n"
                      "plan p k=50 u=9\nplan a f=1 k=50 u=5\nplan r f=2 k=50 u=5\nplan l f=2 k=50 u=5\n";
    for (size_t n = 0; n < 4; n++) {
        for (unsigned c = 200; c > 0; c -= 5) {
            char line[64];
            snprintf(line, sizeof line, "windows %s %u %u*2,%u,%u*2\n", nodes[n], c - 5, 2 + c % 7, 50u, 2 + c / 20);
            strcat(all, line);
        }
    }
    strcat(all, "windows l 0 9*200\nunits a 0 zero\nwindows r 7 12\n"); /* what comes last counts; after windows other kinds of lines */
    assert_ok(sotto_model_parse(&m, all, strlen(all)));
    for (size_t n = 0; n < 4; n++) {
        const sotto_node *x = &m.nodes[sotto_model_find(&m, nodes[n])];
        for (unsigned c = 0; c < 200; c++) {
            const unsigned piece = c / 5 * 5 + 5, want = c % 5 < 2 ? 2 + piece % 7 : c % 5 == 2 ? 50 : 2 + piece / 20;
            assert_int_equal(x->windows[c], n == 1 ? 9 : n == 0 && c == 7 ? 12 : want);
        }
    }
    assert_ok(sotto_model_print(&m, &text, &len));
    text[len] = '\0';
    assert_non_null(strstr(text, "windows l 0 9*200\nplan a"));
    round_trip(text);
    sotto_free(text);
    m.nodes[2].windows[199] ^= 1; /* hashed like the rest of the plan */
    uint8_t before[sizeof m.public_hash];
    memcpy(before, m.public_hash, sizeof before);
    assert_ok(sotto_model_print(&m, &text, &len));
    assert_memory_not_equal(before, m.public_hash, sizeof before);
    sotto_free(text);
    sotto_model_free(&m);
}

static void test_round_trips(void **state)
{
    round_trip(units);
    (void)state;
    round_trip(fixture_plain);
    round_trip(fixture_rich);
    round_trip(planned);
}

static void test_fields(void **state)
{
    (void)state;
    sotto_model m;
    assert_ok(sotto_model_parse(&m, planned, sizeof planned - 1));
    assert_string_equal("planned", m.name);
    assert_int_equal(2, m.label_count);
    assert_string_equal("a b/c", m.labels[0]);
    const sotto_node *c1 = &m.nodes[1];
    assert_int_equal(SOTTO_OP_CONV, c1->op);
    assert_int_equal(3, c1->kernel_h);
    assert_int_equal(2, c1->kernel_w);
    assert_int_equal(2, c1->stride_h);
    assert_int_equal(1, c1->pad_top);
    assert_int_equal(0, c1->pad_left);
    assert_int_equal(1, c1->pad_right);
    assert_int_equal(1, c1->groups);
    assert_int_equal(2, c1->shape.h); /* (4 + 2 - 3) / 2 + 1 */
    assert_int_equal(4, c1->shape.w); /* (4 + 1 - 2) + 1 */
    assert_int_equal(2, c1->plan.he_primes);
    assert_int_equal(46, c1->plan.he_prime_bits[1]);
    assert_int_equal(1, m.nodes[3].stride_h);
    assert_int_equal(20, m.nodes[5].plan.k);
    sotto_model_free(&m);
}

#define HEAD "sotto-model 1\ninput 1x8x8\n"
#define PLANNED "sotto-model 1\ninput 3x2x2\nrelu r input\nidentity i r\nplan r f=1 k=9 u=3\nplan i f=0 k=9\n"

static void test_malformed(void **state)
{
    (void)state;
    static const struct bad {
        const char *text;
        int status;
        const char *message; /* a part of it */
    } cases[] = {
        {"", SOTTO_ERR_FORMAT, "empty"},
        {"sotto-model 1", SOTTO_ERR_FORMAT, "cut off"},
        {"hello\n", SOTTO_ERR_FORMAT, "line 1"},
        {"sotto-model 2\n", SOTTO_ERR_VERSION, "format 2"},
        {"sotto-model 1\n", SOTTO_ERR_FORMAT, "needs an input"},
        {HEAD, SOTTO_ERR_FORMAT, "at least one node"},
        {"sotto-model 1\ninput 1x8\n", SOTTO_ERR_FORMAT, "CxHxW"},
        {"sotto-model 1\ninput 17x8x8\nrelu r input\n", SOTTO_ERR_FORMAT, "1 to 16 channels"},
        {"sotto-model 1\ninput 1x8x8 std=0\nrelu r input\n", SOTTO_ERR_FORMAT, "std above 0"},
        {"sotto-model 1\ninput 2x8x8 mean=0.5\nrelu r input\n", SOTTO_ERR_FORMAT, "one figure per channel"},
        {HEAD "input 1x8x8\n", SOTTO_ERR_FORMAT, "second input"},
        {HEAD "relu\n", SOTTO_ERR_FORMAT, "needs a name and 1 input"},
        {HEAD "add a input\n", SOTTO_ERR_FORMAT, "2 inputs"},
        {HEAD "relu r missing\n", SOTTO_ERR_FORMAT, "no earlier line defines"},
        {HEAD "relu r r\n", SOTTO_ERR_FORMAT, "no earlier line defines"},
        {HEAD "relu r input\nrelu r input\n", SOTTO_ERR_FORMAT, "taken"},
        {HEAD "softmax s input\n", SOTTO_ERR_FORMAT, "expected name, id, input"},
        {HEAD "conv c input out=4\n", SOTTO_ERR_FORMAT, "needs kernel="},
        {HEAD "conv c input kernel=3\n", SOTTO_ERR_FORMAT, "needs out="},
        {HEAD "conv c input out=4 kernel=3 colour=7\n", SOTTO_ERR_FORMAT, "no key 'colour'"},
        {HEAD "conv c input out=4 kernel=3 kernel=3\n", SOTTO_ERR_FORMAT, "twice"},
        {HEAD "conv c input out=4 kernel=0\n", SOTTO_ERR_FORMAT, "kernel=0"},
        {HEAD "conv c input out=4 kernel=9\n", SOTTO_ERR_FORMAT, "does not fit"},
        {HEAD "conv c input out=4 kernel=3 pad=3\n", SOTTO_ERR_FORMAT, "pad < kernel"},
        {HEAD "conv c input out=4 kernel=3 groups=2\n", SOTTO_ERR_FORMAT, "groups"},
        {HEAD "conv c input out=99999999999 kernel=3\n", SOTTO_ERR_FORMAT, "out="},
        {HEAD "conv c input out=65536 kernel=1\nconv d c out=65536 kernel=1\n", SOTTO_ERR_LIMIT, "weights"},
        {HEAD "relu r input pad=1\n", SOTTO_ERR_FORMAT, "no key 'pad'"},
        {HEAD "relu r input stray\n", SOTTO_ERR_FORMAT, "not key=value"},
        {HEAD "conv c input out=2 kernel=3\nadd a input c\n", SOTTO_ERR_FORMAT, "differ in shape"},
        {HEAD "relu r input\nlabel only-one\n", SOTTO_ERR_FORMAT, "labels for 64 outputs"},
        {HEAD "relu r input\nplan x f=1\n", SOTTO_ERR_FORMAT, "no earlier line"},
        {HEAD "relu r input\nplan r f=1\n", SOTTO_ERR_FORMAT, "needs k="},
        {HEAD "relu r input\nplan r f=41 k=9 u=3\n", SOTTO_ERR_FORMAT, "0 to 40"},
        {HEAD "act a input\nplan a f=1 k=9 u=3 poly=7,14,9,24\n", SOTTO_ERR_FORMAT, "poly="},
        {HEAD "act a input\nplan a f=1 k=9 u=3 poly=7,14,25,24,1\n", SOTTO_ERR_FORMAT, "poly="},
        {HEAD "relu r input\nplan r f=1 k=9 u=3 poly=7,14,9,24,1\n", SOTTO_ERR_FORMAT, "no key 'poly'"},
        {HEAD "relu r input\nplan r f=1 k=9 u=3\nplan r f=1 k=9 u=3\n", SOTTO_ERR_FORMAT, "second plan"},
        {HEAD "dense d input out=2\nplan d weight-scale=-1 weight-bits=8\n", SOTTO_ERR_FORMAT, "above 0"},
        {HEAD "dense d input out=2\nplan d weight-scale=nan weight-bits=8\n", SOTTO_ERR_FORMAT, "above 0"},
        {HEAD "dense d input out=2\nplan d weight-scale=1e999 weight-bits=8\n", SOTTO_ERR_FORMAT, "above 0"},
        {HEAD "dense d input out=2\nplan d weight-scale=1 weight-bits=8 he=4096\n", SOTTO_ERR_FORMAT, "he="},
        {HEAD "dense d input out=2\nplan d weight-scale=1 weight-bits=8 he=4096:46,46,46,46,46,46,46,46,46\n", SOTTO_ERR_FORMAT, "he="},
        {HEAD "name a\nname b\nrelu r input\n", SOTTO_ERR_FORMAT, "line 4: name; expected one"},
        {HEAD "name two words\nrelu r input\n", SOTTO_ERR_FORMAT, "line 3: name; expected one"},
        {HEAD "name a/b\nrelu r input\n", SOTTO_ERR_FORMAT, "model name"},
        {HEAD "id 00112233445566778899aabbccddeeff\nid 00112233445566778899aabbccddeeff\n", SOTTO_ERR_FORMAT, "line 4: id; expected one"},
        {HEAD "id 00112233445566778899AABBCCDDEEFF\nrelu r input\n", SOTTO_ERR_FORMAT, "lower case"},
        {"sotto-model 1\ninput 1x8x8 mean=0 mean=1\n", SOTTO_ERR_FORMAT, "line 2: key mean= is given twice"},
        {"sotto-model 1\ninput 1x8x8 std=1 mean=1 std=2\n", SOTTO_ERR_FORMAT, "line 2: key std= is given twice"},
        {"sotto-model 1\ninput 1x8x8 colour=1\n", SOTTO_ERR_FORMAT, "mean= and std="},
        {"sotto-model 1\ninput 1x8x8 mean\n", SOTTO_ERR_FORMAT, "mean= and std="},
        {"sotto-model 1\nrelu r input\n", SOTTO_ERR_FORMAT, "before the input line"},
        {HEAD "label\nrelu r input\n", SOTTO_ERR_FORMAT, "line 3: label"},
        {HEAD "label 0123456789abcdef0123456789abcdef\nrelu r input\n", SOTTO_ERR_FORMAT, "1 to 31"},
        {HEAD "maxpool p input kernel=2 pad=1,1,1\n", SOTTO_ERR_FORMAT, "top,left,bottom,right"},
        {HEAD "maxpool p input kernel=2x\n", SOTTO_ERR_FORMAT, "N or HxW"},
        {HEAD "maxpool p input kernel=2 stride=-1\n", SOTTO_ERR_FORMAT, "N or HxW"},
        {HEAD "maxpool p input kernel=2 out=3\n", SOTTO_ERR_FORMAT, "allowed: kernel=, stride=, pad="},
        {HEAD "id 12\nrelu r input\n", SOTTO_ERR_FORMAT, "32 hex digits"},
        {HEAD "id 00112233445566778899aabbccddeeff\nrelu r input\n", SOTTO_ERR_FORMAT, "needs a checksum"},
        {HEAD "relu r input\nchecksum 00\n", SOTTO_ERR_FORMAT, "64 hex"},
        {HEAD "relu r input\nchecksum 0000000000000000000000000000000000000000000000000000000000000000\n", SOTTO_ERR_CHECKSUM, "disagree"},
        {HEAD "relu r\x01 input\n", SOTTO_ERR_FORMAT, "printable"},
        {HEAD "relu a/b input\n", SOTTO_ERR_FORMAT, "name"},
        {HEAD "batchnorm b input epsilon=0\n", SOTTO_ERR_FORMAT, "above 0"},
        {HEAD "pad p input channels=1\n", SOTTO_ERR_FORMAT, "before,after"},
        {HEAD "pad p input channels=1,2,3\n", SOTTO_ERR_FORMAT, "before,after"},
        {HEAD "pad p input channels=65537,0\n", SOTTO_ERR_FORMAT, "before,after"},
        {HEAD "maxpool p input kernel=2\nconcat k input p\n", SOTTO_ERR_FORMAT, "height or width"},
        {HEAD "relu r input\nunits r 0 relu\n", SOTTO_ERR_FORMAT, "'units NAME FIRST ...' for a node of a fitting kind"},
        {HEAD "act a input\nunits a 0\n", SOTTO_ERR_FORMAT, "units NAME FIRST"},
        {HEAD "act a input\nunits a x relu\n", SOTTO_ERR_FORMAT, "index of the first"},
        {HEAD "act a input\nunits a 0 tanh\n", SOTTO_ERR_FORMAT, "units of a at 'tanh'"},
        {HEAD "act a input\nunits a 0 relu2\n", SOTTO_ERR_FORMAT, "expected relu"},
        {HEAD "act a input\nunits a 0 relu0x1\n", SOTTO_ERR_FORMAT, "expected relu"},
        {HEAD "act a input\nunits a 0 relu257x1\n", SOTTO_ERR_FORMAT, "expected relu"},
        {HEAD "act a input\nunits a 0 zero2x2\n", SOTTO_ERR_FORMAT, "expected relu"},
        {HEAD "act a input\nunits a 0 relu*0\n", SOTTO_ERR_FORMAT, "expected relu"},
        {HEAD "act a input\nunits a 0 relu,\n", SOTTO_ERR_FORMAT, "expected relu"},
        {HEAD "act a input\nunits a 0 relu*2\n", SOTTO_ERR_FORMAT, "beyond its 1 channels"},
        {HEAD "act a input\nunits a 2 relu\n", SOTTO_ERR_FORMAT, "beyond its 1 channels"},
        {HEAD "act a input\nunits a 0 relu\nrelu r a\n", SOTTO_ERR_FORMAT, "all nodes before them"},
        {HEAD "act a input\nmask a 4 ff\n", SOTTO_ERR_FORMAT, "multiple of 8"},
        {HEAD "act a input\nmask a 0 f\n", SOTTO_ERR_FORMAT, "two hex digits"},
        {HEAD "act a input\nmask a 64 ff\n", SOTTO_ERR_FORMAT, "at most 64 values"},
        {HEAD "act a input\nmask a 72 ff\n", SOTTO_ERR_FORMAT, "at most 64 values"},
        {HEAD "act a input\nmask a 0 FF\n", SOTTO_ERR_FORMAT, "lower case"},
        {HEAD "act a input\nunits a 0 zero\nmask a 0 fe\n", SOTTO_ERR_FORMAT, "no plain relu"},
        {PLANNED "windows r 0 9\nrelu s r\n", SOTTO_ERR_FORMAT, "all nodes before them"},
        {PLANNED "windows x 0 9\n", SOTTO_ERR_FORMAT, "'windows NAME FIRST ...' for a node of a fitting kind"},
        {PLANNED "windows input 0 9\n", SOTTO_ERR_FORMAT, "fitting kind"},
        {PLANNED "windows i 0 9\n", SOTTO_ERR_FORMAT, "fitting kind"},
        {PLANNED "windows r 0\n", SOTTO_ERR_FORMAT, "windows NAME FIRST"},
        {PLANNED "windows r 0 9 9\n", SOTTO_ERR_FORMAT, "windows NAME FIRST"},
        {PLANNED "windows r -1 9\n", SOTTO_ERR_FORMAT, "index of the first"},
        {PLANNED "windows r 0 1\n", SOTTO_ERR_FORMAT, "windows of r at '1'; expected 2 to 50 bits"},
        {PLANNED "windows r 0 51\n", SOTTO_ERR_FORMAT, "2 to 50 bits"},
        {PLANNED "windows r 0 9*0\n", SOTTO_ERR_FORMAT, "2 to 50 bits"},
        {PLANNED "windows r 0 9*\n", SOTTO_ERR_FORMAT, "2 to 50 bits"},
        {PLANNED "windows r 0 9*65537\n", SOTTO_ERR_FORMAT, "2 to 50 bits"},
        {PLANNED "windows r 0 9,\n", SOTTO_ERR_FORMAT, "2 to 50 bits"},
        {PLANNED "windows r 0 ,9\n", SOTTO_ERR_FORMAT, "2 to 50 bits"},
        {PLANNED "windows r 0 9;9\n", SOTTO_ERR_FORMAT, "2 to 50 bits"},
        {PLANNED "windows r 0 9*4\n", SOTTO_ERR_FORMAT, "beyond its 3 channels"},
        {PLANNED "windows r 0 9,9,9,9\n", SOTTO_ERR_FORMAT, "beyond its 3 channels"},
        {PLANNED "windows r 3 9\n", SOTTO_ERR_FORMAT, "beyond its 3 channels"},
        {PLANNED "windows r 4 9\n", SOTTO_ERR_FORMAT, "beyond its 3 channels"},
        {PLANNED "windows r 0 9,9\n", SOTTO_ERR_FORMAT, "node r: windows of channels"},
        {PLANNED "windows r 1 9*2\n", SOTTO_ERR_FORMAT, "for each channel"},
        {HEAD "relu r input\nwindows r 0 9\nplan r f=1 k=9 u=3\n", SOTTO_ERR_FORMAT, "before its plan"},
        {HEAD "relu this-name-is-longer-than-thirty-one input\n", SOTTO_ERR_FORMAT, "longer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sotto_model m;
        const int got = sotto_model_parse(&m, cases[i].text, strlen(cases[i].text));
        if (got != cases[i].status || strstr(sotto_error_message(), cases[i].message) == NULL) {
            fail_msg("case %zu: %s, '%s'; expected '%s'", i, sotto_status_name(got), sotto_error_message(), cases[i].message);
        }
        assert_int_equal(0, m.node_count); /* zeroed */
    }
}

static void test_long_lines(void **state)
{
    (void)state;
    char text[4096];
    sotto_model m;
    memset(text, 'x', sizeof text);
    memcpy(text, HEAD, sizeof HEAD - 1);
    text[sizeof text - 1] = '\n';
    assert_status(SOTTO_ERR_FORMAT, sotto_model_parse(&m, text, sizeof text));
    assert_non_null(strstr(sotto_error_message(), "longer than"));
    for (size_t i = sizeof HEAD; i < 900; i += 2) {
        text[i] = ' ';
    }
    text[900] = '\n';
    assert_status(SOTTO_ERR_FORMAT, sotto_model_parse(&m, text, 901));
    assert_non_null(strstr(sotto_error_message(), "words"));
    assert_status(SOTTO_ERR_LIMIT, sotto_model_parse(&m, text, SOTTO_TEXT_MAX + (size_t)1));
}

static void test_indented_labels(void **state)
{
    (void)state;
    sotto_model m;
    static const char text[] = "sotto-model 1\n  input 1x1x3\n   label two words\nlabel #hash\nlabel label\n relu r input\n";
    round_trip(text);
    assert_ok(sotto_model_parse(&m, text, sizeof text - 1));
    assert_string_equal("two words", m.labels[0]);
    assert_string_equal("#hash", m.labels[1]);
    assert_string_equal("label", m.labels[2]);
    sotto_model_free(&m);
}

static void test_empty_model(void **state)
{
    (void)state;
    sotto_model m;
    char *text = NULL;
    size_t len = 0;
    sotto_model_init(&m);
    assert_status(SOTTO_ERR_ARG, sotto_model_print(&m, &text, &len));
    assert_null(text);
}

/* Where the decimal sign is a comma, files are the same; skipped on a machine without such a locale. */
static void test_other_locale(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8", "nl_NL.UTF-8"};
    const char *found = NULL;
    sotto_model m;
    char *plain = NULL, *text = NULL, figure[16];
    size_t plain_len, len = 0;
    assert_ok(sotto_model_parse(&m, planned, sizeof planned - 1));
    assert_ok(sotto_model_print(&m, &plain, &plain_len));
    sotto_model_free(&m);
    for (size_t i = 0; i < sizeof names / sizeof *names && found == NULL; i++) {
        found = setlocale(LC_NUMERIC, names[i]);
    }
    if (found == NULL) {
        sotto_free(plain);
        skip();
    }
    const int status = sotto_model_parse(&m, plain, plain_len);
    const int printed = status == SOTTO_OK ? sotto_model_print(&m, &text, &len) : status;
    snprintf(figure, sizeof figure, "%.1f", 0.5); /* the caller's own locale is in force again */
    setlocale(LC_NUMERIC, "C");
    assert_ok(status);
    assert_ok(printed);
    assert_string_equal("0,5", figure);
    assert_int_equal(plain_len, len);
    assert_memory_equal(plain, text, len);
    sotto_model_free(&m);
    sotto_free(plain);
    sotto_free(text);
}

/* Any one byte of a saved text changed: an error, or a model that prints the same. */
static void test_every_bit_flipped(void **state)
{
    (void)state;
    const sotto_rng rng = test_rng(test_seed(), 0);
    sotto_model m, other;
    char *text = NULL, *again = NULL;
    size_t len, again_len;
    fixture_raw(&m, planned, &rng);
    assert_ok(sotto_model_print(&m, &text, &len));
    for (size_t i = 0; i < len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            text[i] = (char)(text[i] ^ (1 << bit));
            if (sotto_model_parse(&other, text, len) == SOTTO_OK) {
                assert_ok(sotto_model_print(&other, &again, &again_len));
                assert_memory_equal(m.public_hash, other.public_hash, sizeof m.public_hash);
                sotto_free(again);
                sotto_model_free(&other);
            }
            text[i] = (char)(text[i] ^ (1 << bit));
        }
    }
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_not_equal(SOTTO_OK, sotto_model_parse(&other, text, cut));
    }
    char *longer = sotto_calloc(len + 1, 1);
    assert_non_null(longer);
    memcpy(longer, text, len);
    for (unsigned byte = 0; byte < 256; byte++) {
        longer[len] = (char)byte;
        assert_status(SOTTO_ERR_FORMAT, sotto_model_parse(&other, longer, len + 1));
    }
    sotto_free(longer);
    sotto_free(text);
    sotto_model_free(&m);
}

static void test_memory_failure(void **state)
{
    (void)state;
    int failed = 1;
    for (long k = 0; failed; k++) {
        sotto_model m;
        sotto_calloc_fail_after(k);
        failed = sotto_model_parse(&m, units, sizeof units - 1) != SOTTO_OK;
        sotto_calloc_fail_after(-1);
        if (failed) {
            assert_string_equal("", m.name);
        } else {
            assert_true(k > 2);
            sotto_model_free(&m);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_units), cmocka_unit_test(test_windows), cmocka_unit_test(test_fields),            cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_long_lines),  cmocka_unit_test(test_every_bit_flipped), cmocka_unit_test(test_memory_failure),
        cmocka_unit_test(test_indented_labels), cmocka_unit_test(test_empty_model), cmocka_unit_test(test_other_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
