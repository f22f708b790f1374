/* Networks from ONNX files. */
#include <math.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/prg.h"
#include "nn/model/text.h"
#include "nn/onnx/onnx.h"
#include "tests/fuzz/targets.h"
#include "tests/onnx/graph.h"

/* The same graph but for names: two steps of the writer may have had to share one. */
static void require_same(const sotto_model *a, const sotto_model *b)
{
    require(a->node_count == b->node_count);
    require(memcmp(a->mean, b->mean, sizeof a->mean) == 0 && memcmp(a->std, b->std, sizeof a->std) == 0);
    for (size_t i = 0; i < a->node_count; i++) {
        const sotto_node *p = &a->nodes[i], *q = &b->nodes[i];
        require(p->op == q->op && p->shape.c == q->shape.c && p->shape.h == q->shape.h && p->shape.w == q->shape.w);
        for (unsigned k = 0; k < sotto_op_inputs(p->op); k++) {
            require(p->input[k] == q->input[k]);
        }
        for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
            const size_t count = sotto_tensor_count(a, p, t);
            require(count == sotto_tensor_count(b, q, t));
            for (size_t k = 0; k < count; k++) {
                require(p->tensor[t][k] == q->tensor[t][k]);
            }
        }
    }
}

/* What is accepted has finite weights and writes to a file that is read as the same model. */
static int run_onnx(const uint8_t *data, size_t len)
{
    static const sotto_model zero;
    sotto_model m, again;
    uint8_t *written;
    size_t written_len;
    if (sotto_onnx_read(&m, data, len, NULL) != SOTTO_OK) {
        require(memcmp(&m, &zero, sizeof m) == 0);
        return 0;
    }
    require(sotto_model_has_weights(&m));
    for (size_t i = 0; i < m.node_count; i++) {
        for (unsigned t = 0; t < SOTTO_TENSORS_MAX; t++) {
            for (size_t k = 0; k < sotto_tensor_count(&m, &m.nodes[i], t); k++) {
                require(isfinite(m.nodes[i].tensor[t][k]));
            }
        }
    }
    require(sotto_onnx_write(&m, &written, &written_len) == SOTTO_OK);
    require(sotto_onnx_read(&again, written, written_len, NULL) == SOTTO_OK);
    require_same(&m, &again);
    sotto_free_secret(written, written_len, 1);
    sotto_model_free(&again);
    sotto_model_free(&m);
    return 1;
}

static const char *const graphs[] = {
    "input x N,3,8,8\nfloat m 1,3,1,1 = 0.5 0.25 0.125\nfloat s - = 0.5\nfloat w 2,3,3,3 = 1 2 -1\nfloat b 2 = 0.5 -1\nint p 8 = 0 0 1 1 0 0 1 1\n"
    "float lo - = 0\nfloat hi - = 6\nfloat g 2 = 1 2\nSub i x m\nDiv j i s\nPad q j p\nConv c q w b strides=2,2 kernel_shape=3,3\n"
    "BatchNormalization n c g b g g epsilon=0.001\nRelu r n\nClip k r lo hi\nAdd a k n\nMaxPool h a kernel_shape=3,3 strides=2,2 ceil_mode=1\n"
    "Concat t h h h axis=1\nGlobalAveragePool y t\noutput y N,6,1,1\n",
    "opset 9\ninput x 2,2,4,4\nfloat a 1 = 0.5\nfloat e - = 3\nfloat l 2,1,1 = 0 1\nfloat v 8,3 = 1 2\nfloat c 3 = 1\nPRelu r x l\nPow p r e\nMul q p a\nSub y r q\n"
    "AveragePool z y kernel_shape=2,2 strides=2,2\nint f 2 = 0 -1\nReshape u z f\nMatMul d u v\nAdd o d c\nSoftmax k o axis=1\noutput k\n",
    "input x N,3,8,8\nint o 1 = 0\nint e 1 = 9223372036854775807\nint h 1 = 2\nint v 1 = 3\nint s 1 = 2\nint p 8 = 0 1 0 0 0 1 0 0\nSlice a x o e h s\nSlice b a o e v s\n"
    "Pad y b p\nReduceMean z y axes=2,3 keepdims=0\nint i - = 0\nint j 1 = 0\nint k 1 = -1\nShape f x\nGather g f i axis=0\nUnsqueeze u g j\nConcat t u k axis=0\n"
    "Reshape r z t\nfloat w 2,5 = 1\nGemm m r w transB=1 alpha=2.0\nint q 2 = 2 3\nUnsqueeze n m q\nSqueeze l n q\nIdentity c l\nDropout d c\nFlatten out d\noutput out\n",
};

/* Written by the program itself. */
static const char written_graph[] = "sotto-model 1\ninput 2x5x5 mean=0.5,0.25 std=0.25,0.5\nconv c input out=4 kernel=3x3 pad=1 groups=2\nbatchnorm n c\nclip k n\nact a k\nact b k\n"
                                    "add s a b\navgpool p s kernel=2x2 stride=2\npad z p pad=1 channels=1,0\nmaxpool q z kernel=2x2\nflatten f q\nrelu r f\ndense d r out=3\n"
                                    "units a 0 relu,identity*3\nunits b 0 square,zero,cubic,identity\n";

static size_t seed_onnx(unsigned i, uint8_t *out)
{
    static graph_bytes file;
    sotto_model m;
    sotto_prg prg;
    uint8_t *written;
    size_t len;
    if (i < sizeof graphs / sizeof *graphs) {
        graph_make(&file, graphs[i]);
        memcpy(out, file.data, file.len);
        return file.len;
    }
    if (i > sizeof graphs / sizeof *graphs) {
        return 0;
    }
    sotto_prg_init(&prg, (sotto_block){{0x6f6e6e78, 0}});
    const sotto_rng rng = sotto_prg_rng(&prg);
    require(sotto_model_parse(&m, written_graph, sizeof written_graph - 1) == SOTTO_OK);
    require(sotto_model_init_weights(&m, &rng) == SOTTO_OK);
    require(sotto_onnx_write(&m, &written, &len) == SOTTO_OK && len <= FUZZ_SEED_MAX);
    memcpy(out, written, len);
    sotto_free_secret(written, len, 1);
    sotto_model_free(&m);
    return len;
}

const fuzz_target fuzz_onnx = {"onnx", NULL, run_onnx, seed_onnx, 0};
